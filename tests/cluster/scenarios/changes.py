"""Changes and deletion of a TraceBuffer."""

import json

from kube import Namespace, apply, delete, equal, eventually, get, list_all
from parts import (
    STATUS, counts, deployment, is_injected, only_pod, pending_pod, ready_trace_buffer, rolled_out,
    running,
)
from runner import scenario


@scenario("outdated", "pods that need a restart are counted as outdated, and are not restarted")
def counts_the_outdated():
    with Namespace("tb-outdated") as here:
        ready_trace_buffer(here)
        apply(deployment("shop", replicas=2), namespace=here)
        rolled_out(here, "shop")
        eventually("both are current", lambda: equal("counts", counts(here).get("current"), 2) is None, 20)
        before = {p["metadata"]["name"] for p in running(here, "shop")}

        ready_trace_buffer(here, destination={"compression": "Gzip"})

        eventually("both are outdated", lambda: equal("outdated", counts(here).get("outdated"), 2) is None, 20)
        equal("pods", {p["metadata"]["name"] for p in running(here, "shop")}, before)


@scenario("rollout", "with OnChange workloads are restarted one after another")
def rolls_out():
    with Namespace("tb-rollout") as here:
        paced = {"strategy": "OnChange", "maxConcurrent": 1, "interval": "1s"}
        ready_trace_buffer(here, rollout=paced)
        apply(deployment("one"), deployment("two"), namespace=here)
        for name in ("one", "two"):
            rolled_out(here, name)

        ready_trace_buffer(here, rollout=paced, destination={"compression": "Gzip"})

        eventually("all pods are current", lambda: equal(
            "counts", [counts(here).get(k) for k in ("total", "current", "outdated")], [2, 2, 0]) is None, 90)
        first, second = sorted(newest_set(here, name) for name in ("one", "two"))
        assert second[0] > first[0], "both workloads were restarted at the same time"
        for name in ("one", "two"):
            equal(f"revisions of {name}", revision(here, name), "2")


def newest_set(namespace, owner):
    """Returns the creation time and the name of the newest ReplicaSet of a Deployment."""
    sets = list_all("replicasets", namespace, f"app={owner}")
    return max((each["metadata"]["creationTimestamp"], each["metadata"]["name"]) for each in sets)


def revision(namespace, name):
    return get("deployment", name, namespace)["metadata"]["annotations"]["deployment.kubernetes.io/revision"]


@scenario("gone", "after their TraceBuffer is deleted pods continue to run, and new ones report why they have no sidecar")
def outlives_its_trace_buffer():
    with Namespace("tb-gone") as here:
        ready_trace_buffer(here)
        apply(deployment("shop"), namespace=here)
        rolled_out(here, "shop")
        before = only_pod(here, "shop")

        delete("tracebuffer", "default", here, "--timeout=20s")

        def later():
            apply(pending_pod("later"), namespace=here)
            late = get("pod", "later", here)
            delete("pod", "later", here, "--grace-period=0", "--force")
            assert not is_injected(late), "the deleted TraceBuffer was used"
            return json.loads(late["metadata"]["annotations"][STATUS])["skipped"]
        equal("the reason", eventually("new pods are skipped", later, 15), "NoTraceBuffer")
        after = only_pod(here, "shop")
        equal("the pod", after["metadata"]["uid"], before["metadata"]["uid"])
        restarts = [c["restartCount"] for c in after["status"]["initContainerStatuses"]]
        equal("restarts", restarts, [0])
