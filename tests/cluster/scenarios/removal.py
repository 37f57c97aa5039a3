"""Upgrade from an older version, and uninstallation."""

import os
import re
import shutil
import tempfile
from pathlib import Path

import operator_release as operator
from kube import CHART, Namespace, apply, equal, eventually, get, helm, list_all
from parts import (
    arrived, collector, container, deployment, is_injected, only_pod, pending_pod,
    ready_trace_buffer, rolled_out, sending,
)
from runner import scenario


def older_chart(folder):
    """Packages the chart as an older version of itself."""
    copy = Path(folder) / "tracebuffer"
    shutil.copytree(CHART, copy)
    about = (copy / "Chart.yaml").read_text()
    about = re.sub(r"(?m)^version: .*", "version: 0.0.9", about)
    (copy / "Chart.yaml").write_text(re.sub(r"(?m)^appVersion: .*", 'appVersion: "0.0.9"', about))
    helm("package", copy, "-d", folder)
    return Path(folder) / "tracebuffer-0.0.9.tgz"


@scenario("upgrade", "an upgrade from an older version keeps the certificate authority and restarts no pod")
def upgrades():
    with tempfile.TemporaryDirectory() as folder, Namespace("tb-upgrade") as here:
        operator.uninstall()
        operator.install(chart=older_chart(folder), image=os.environ.get("OLD_IMAGE", os.environ["IMAGE"]))
        ready_trace_buffer(here)
        apply(deployment("shop"), namespace=here)
        rolled_out(here, "shop")
        before = only_pod(here, "shop")
        assert is_injected(before)
        authority = get("secret", operator.SECRET, operator.NAMESPACE)["data"]["ca.crt"]

        operator.install()

        equal("the pod", only_pod(here, "shop")["metadata"]["uid"], before["metadata"]["uid"])
        equal("the authority", get("secret", operator.SECRET, operator.NAMESPACE)["data"]["ca.crt"], authority)
        apply(pending_pod("later"), namespace=here)
        assert is_injected(get("pod", "later", here)), "the new version does not inject"
        bundles = [e["clientConfig"].get("caBundle") for e in
                   get("mutatingwebhookconfigurations", operator.NAME)["webhooks"]]
        equal("the caBundle", bundles, [authority] * 2)


@scenario("uninstall", "helm uninstall removes the webhook, and keeps running pods and TraceBuffers")
def uninstalls():
    with Namespace("tb-uninstall") as here:
        ready_trace_buffer(here, endpoint=collector(here))
        apply(deployment("shop", container(command=sending(10, then="sleep 20; " + sending(15)))), namespace=here)
        rolled_out(here, "shop")
        eventually("spans arrive", lambda: arrived(here) == 20, 30)

        operator.uninstall()

        ours = [w["metadata"]["name"] for w in list_all("mutatingwebhookconfigurations")
                if "tracebuffer" in w["metadata"]["name"]]
        equal("webhooks", ours, [])
        assert get("tracebuffer", "default", here), "the TraceBuffer was deleted"
        apply(pending_pod("later"), namespace=here)
        assert not is_injected(get("pod", "later", here))
        eventually("the sidecar still forwards", lambda: equal("arrived", arrived(here), 50) is None, 60)
        operator.install()
        ready_trace_buffer(here, "again")
        apply(pending_pod("again", inject="again"), namespace=here)
        assert is_injected(get("pod", "again", here)), "nothing is injected after a reinstallation"
