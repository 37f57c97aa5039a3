"""The webhook's certificate, renewed while pods are created."""

import base64

import operator_release as operator
from kube import Namespace, apply, eventually, get, kubectl, list_all
from parts import is_injected, pending_pod, ready_trace_buffer
from runner import scenario


def served():
    return get("secret", operator.SECRET, operator.NAMESPACE)["data"]


@scenario("rotation", "the certificate is replaced while 100 pods are created, and every one is injected")
def rotates():
    with Namespace("tb-rotation") as here:
        ready_trace_buffer(here)
        before = served()["tls.crt"]
        for i in range(10):
            apply(pending_pod(f"before-{i}"), namespace=here)
        renew()
        for i in range(90):
            apply(pending_pod(f"during-{i}"), namespace=here)
        eventually("another certificate is there", lambda: served()["tls.crt"] != before, 120)
        apply(pending_pod("after"), namespace=here)
        bare = [p["metadata"]["name"] for p in list_all("pods", here) if not is_injected(p)]
        assert not bare, f"without a sidecar: {bare}"
        bundle = get("mutatingwebhookconfigurations", operator.NAME)["webhooks"][0]["clientConfig"]["caBundle"]
        assert b"BEGIN CERTIFICATE" in base64.b64decode(bundle)


def renew():
    """Asks the operator for another certificate."""
    kubectl("annotate", "secret", operator.SECRET, "-n", operator.NAMESPACE, "--overwrite",
            "tracebuffer.dev/renew=now")
