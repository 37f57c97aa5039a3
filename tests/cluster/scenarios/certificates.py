"""The webhook's certificate, renewed while pods are created."""

import base64
import time

import operator_release as operator
from kube import Namespace, apply, get, kubectl, list_all
from parts import is_injected, pending_pod, ready_trace_buffer
from runner import scenario

# The operator waits a minute between publishing an authority and serving its certificate.
LONGEST = 150


def served():
    return get("secret", operator.SECRET, operator.NAMESPACE)["data"]


@scenario("rotation", "authority and certificate are replaced while 100 pods are created, and every one is injected")
def rotates():
    with Namespace("tb-rotation") as here:
        ready_trace_buffer(here)
        before = served()
        kubectl("annotate", "secret", operator.SECRET, "-n", operator.NAMESPACE, "--overwrite",
                f"tracebuffer.dev/rotate={time.time():.0f}")
        start, created = time.monotonic(), 0
        while served()["tls.crt"] == before["tls.crt"] or created < 100:
            assert time.monotonic() - start < LONGEST, "there is no other certificate yet"
            apply(pending_pod(f"pod-{created}"), namespace=here)
            created += 1
            time.sleep(0.5)
        for _ in range(10):
            apply(pending_pod(f"pod-{created}"), namespace=here)
            created += 1
            time.sleep(0.5)

        bare = [p["metadata"]["name"] for p in list_all("pods", here) if not is_injected(p)]
        assert not bare, f"{len(bare)} of {created} without a sidecar: {bare[:10]}"
        after = served()
        assert after["tls.crt"] != before["tls.crt"]
        assert count(after["ca.crt"]) == count(before["ca.crt"]) + 1, "old and new are not trusted together"
        for entry in get("mutatingwebhookconfigurations", operator.NAME)["webhooks"]:
            assert entry["clientConfig"]["caBundle"] == after["ca.crt"], f"{entry['name']} trusts another"


def count(bundle):
    return base64.b64decode(bundle).count(b"BEGIN CERTIFICATE")
