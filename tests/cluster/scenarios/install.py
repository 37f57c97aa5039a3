"""What `helm install` leaves behind."""

import base64

import operator_release as operator
from kube import CHART, apply, eventually, get, helm, kubectl
from runner import scenario

ACCOUNT = f"system:serviceaccount:{operator.NAMESPACE}:{operator.NAME}"


@scenario("install", "helm install makes two ready operators and their certificates; helm test passes")
def installs():
    pods = operator.pods()
    assert len(pods) == 2, f"{len(pods)} operators"
    for pod in pods:
        ready = {c["type"]: c["status"] for c in pod["status"]["conditions"]}["Ready"]
        assert ready == "True", f"{pod['metadata']['name']} is not ready"
    secret = get("secret", operator.SECRET, operator.NAMESPACE)
    assert secret, "there is no certificate"
    missing = {"ca.crt", "tls.crt", "tls.key"} - set(secret["data"])
    assert not missing, f"the Secret lacks {missing}"
    for entry in get("mutatingwebhookconfigurations", operator.NAME)["webhooks"]:
        bundle = base64.b64decode(entry["clientConfig"].get("caBundle", "")).decode()
        assert "BEGIN CERTIFICATE" in bundle, f"{entry['name']} has no caBundle"
    helm("test", operator.NAME, "-n", operator.NAMESPACE, "--timeout", "60s")
    kubectl("delete", "pod", f"{operator.NAME}-check", "-n", operator.NAMESPACE, "--wait=false")


@scenario("rights", "the operator's service account may do what the chart lists, and nothing beside it")
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


@scenario("dry-run", "the API server takes everything the chart can render", needs_operator=False)
def is_valid():
    for values in ("default", "least", "everything"):
        text = helm("template", "dry", CHART, "-n", "default", "-f", CHART / "ci" / f"{values}-values.yaml",
                    "--set", "crds.enabled=false", "--skip-tests").out
        kubectl("apply", "--dry-run=server", "-n", "default", "-f", "-", stdin=text)
