"""Result of `helm install`."""

import base64
import re

import operator_release as operator
from kube import CHART, Namespace, apply, equal, eventually, get, helm, kubectl
from parts import pod, ready_trace_buffer
from runner import scenario

ACCOUNT = f"system:serviceaccount:{operator.NAMESPACE}:{operator.NAME}"


@scenario("install", "helm install creates two ready operators and their certificates; helm test passes")
def installs():
    pods = operator.pods()
    assert len(pods) == 2, f"{len(pods)} operators"
    for pod in pods:
        ready = {c["type"]: c["status"] for c in pod["status"]["conditions"]}["Ready"]
        assert ready == "True", f"{pod['metadata']['name']} is not ready"
    secret = get("secret", operator.SECRET, operator.NAMESPACE)
    assert secret, "the certificate's Secret does not exist"
    missing = {"ca.crt", "tls.crt", "tls.key"} - set(secret["data"])
    assert not missing, f"the Secret lacks {missing}"
    for entry in get("mutatingwebhookconfigurations", operator.NAME)["webhooks"]:
        bundle = base64.b64decode(entry["clientConfig"].get("caBundle", "")).decode()
        assert "BEGIN CERTIFICATE" in bundle, f"{entry['name']} has no caBundle"
    tested = helm("test", operator.NAME, "-n", operator.NAMESPACE, "--timeout", "60s")
    output = tested.out + tested.err
    equal("test suites", output.count("TEST SUITE:"), 2)
    assert "MutatingWebhookConfiguration tracebuffer has its caBundle" in output, f"no log in {output}"
    for kind in ("pod", "serviceaccount", "clusterrole", "role"):
        place = None if kind == "clusterrole" else operator.NAMESPACE
        left = get(kind, f"{operator.NAME}-check", place)
        assert not left or "deletionTimestamp" in left["metadata"], f"helm test leaves a {kind}"


@scenario("rights", "the operator's service account has only the permissions of the chart")
def has_least_rights():
    def can(verb, what, *flags):
        answer = kubectl("auth", "can-i", verb, what, "--as", ACCOUNT, *flags, check=False)
        return answer.out.strip() == "yes"

    assert can("watch", "pods", "-A")
    assert can("get", f"secrets/{operator.SECRET}", "-n", operator.NAMESPACE)
    for verb, what, *flags in (
        ("get", "secrets", "-n", "default"),
        ("get", "secrets/other", "-n", operator.NAMESPACE),
        ("list", "secrets", "-A"),
        ("create", "pods", "-n", "default"),
        ("delete", "pods", "-n", "default"),
        ("patch", "mutatingwebhookconfigurations/other"),
        ("update", "tracebuffers.tracebuffer.dev", "-n", "default"),
        ("create", "pods/exec", "-n", "default"),
    ):
        assert not can(verb, what, *flags), f"may {verb} {what} {' '.join(flags)}"


@scenario("metrics", "every metric of the chart's alerts and dashboard is served by the operator or a sidecar")
def metrics_exist():
    drawn = (CHART / "dashboards" / "tracebuffer.json").read_text() + (CHART / "alerts.yaml").read_text()
    wanted = set(re.findall(r"\b(?:tracebuffer|process)_[a-z_]+", drawn))
    with Namespace("tb-metrics") as here:
        ready_trace_buffer(here)
        apply(pod("shop"), namespace=here)
        sidecar = eventually("the sidecar serves", lambda: scrape(here, "shop"))
        served = sidecar + "".join(
            scrape(operator.NAMESPACE, each["metadata"]["name"]) for each in operator.pods()
        )
    families = set(re.findall(r"(?m)^# TYPE (\S+)", served))
    absent = {name for name in wanted if not {name, name.removesuffix("_bucket")} & families}
    assert not absent, f"not served: {sorted(absent)}"


def scrape(namespace, name):
    return kubectl("get", "--raw", f"/api/v1/namespaces/{namespace}/pods/{name}:9417/proxy/metrics").out


@scenario("dry-run", "the API server accepts every rendered object of the chart", needs_operator=False)
def is_valid():
    for values in ("default", "least", "everything", "host-network", "openshift"):
        text = helm("template", "dry", CHART, "-n", "default", "-f", CHART / "ci" / f"{values}-values.yaml",
                    "--set", "crds.enabled=false", "--skip-tests").out
        kubectl("apply", "--dry-run=server", "-n", "default", "-f", "-", stdin=text)
