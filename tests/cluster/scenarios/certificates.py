"""The webhook's certificate: renewed, made by others, and by others than before, while pods are created."""

import base64
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import cert_manager
import operator_release as operator
from creating import Creating, bare
from kube import Namespace, apply, delete, equal, eventually, get, kubectl, list_all, metrics, total
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


def bundles():
    """Returns the caBundle of each entry of the webhook, decoded."""
    entries = get("mutatingwebhookconfigurations", operator.NAME)["webhooks"]
    return [base64.b64decode(each["clientConfig"].get("caBundle", "")).decode() for each in entries]


def all_serve_until(day):
    """Asserts that every operator serves a certificate that ends in this many days."""
    for each in operator.pods():
        samples = metrics(each["metadata"]["name"], operator.NAMESPACE, 9417)
        left = total(samples, "tracebuffer_webhook_certificate_expiry_timestamp_seconds") - time.time()
        equal(f"days that {each['metadata']['name']} has left", round(left / 86400), day)
    return True


def make_certificate(folder, days):
    """Makes ca.crt, tls.crt and tls.key for the webhook."""
    host = f"{operator.NAME}-webhook.{operator.NAMESPACE}.svc"

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *curve, "-days", "90", "-subj", f"/CN=authority {days}", "-keyout", "ca.key",
            "-out", "ca.crt")
    openssl("req", *curve, "-subj", "/CN=webhook", "-keyout", "tls.key", "-out", "tls.csr")
    (Path(folder) / "names").write_text(f"subjectAltName=DNS:{host}\n")
    openssl("x509", "-req", "-in", "tls.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", str(days), "-extfile", "names", "-out", "tls.crt")
    return (Path(folder) / "ca.crt").read_text()


def give(folder, name, days, parts=("ca.crt", "tls.crt", "tls.key")):
    """Makes a certificate and puts it into a Secret; returns its authority."""
    authority = make_certificate(folder, days)
    data = {part: base64.b64encode((Path(folder) / part).read_bytes()).decode() for part in parts}
    apply({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": data,
        "metadata": {"name": name, "namespace": operator.NAMESPACE},
    })
    return authority


def existing(name, *values):
    """Installs or upgrades to a certificate that is in this Secret."""
    operator.install("--set", "certificates.mode=existingSecret", "--set", f"certificates.secretName={name}",
                     *values)


@contextmanager
def unbroken(namespace):
    """Creates pods all the while; every one of them must have a sidecar."""
    ready_trace_buffer(namespace)
    with Creating(namespace) as creating:
        yield
        time.sleep(12)  # the last old operator answers on for 10 s
    equal("pods without a sidecar", bare(namespace), [])
    print(f"    {creating.created} pods were created meanwhile")
    assert creating.created > 30, f"only {creating.created} pods were created"


@scenario("existing-secret",
          "a certificate of one's own in a Secret is installed, renewed and exchanged, and every pod is injected")
def uses_a_secret():
    with tempfile.TemporaryDirectory() as folder, Namespace("tb-existing-secret") as here:
        operator.uninstall()
        try:
            first = give(folder, "given", 20)
            existing("given")
            equal("the caBundle", bundles(), [first] * 2)
            assert not get("secret", operator.SECRET, operator.NAMESPACE), "it made one of its own"
            with unbroken(here):
                second = give(folder, "given", 30)
                eventually("the renewed one is served", lambda: all_serve_until(30), 60)
                for bundle in bundles():
                    assert first in bundle and second in bundle, "old and new are not trusted together"
                # Another Secret, without its authority.
                third = give(folder, "given-too", 40, ("tls.crt", "tls.key"))
                existing("given-too", "--set-file", f"certificates.caBundle={folder}/ca.crt")
                eventually("the other one is served", lambda: all_serve_until(40), 30)
                for bundle in bundles():
                    assert second in bundle and third in bundle, "old and new are not trusted together"
        finally:
            operator.install()
            delete("secret", "given", operator.NAMESPACE)
            delete("secret", "given-too", operator.NAMESPACE)


@scenario("mode-change", "helm upgrade changes who makes the certificate, there and back, and every pod is injected")
def changes_its_mode():
    with tempfile.TemporaryDirectory() as folder, Namespace("tb-mode-change") as here:
        authority = give(folder, "given", 20)
        own = base64.b64decode(served()["ca.crt"]).decode()
        try:
            with unbroken(here):
                existing("given")
                all_serve_until(20)
                for bundle in bundles():
                    assert authority in bundle and own in bundle, "old and new are not trusted together"
                # At once, as somebody does who sees a mistake.
                operator.install()
                all_serve_until(30)
                for bundle in bundles():
                    assert authority in bundle and own in bundle, "old and new are not trusted together"
                equal("it keeps its own authority", own in base64.b64decode(served()["ca.crt"]).decode(), True)
                existing("given")
        finally:
            operator.install()
            delete("secret", "given", operator.NAMESPACE)


@scenario("cert-manager",
          "cert-manager takes over by helm upgrade, renews, and hands back, and every pod is injected")
def leaves_it_to_cert_manager():
    with cert_manager.running(), Namespace("tb-cert-manager") as here:
        try:
            with unbroken(here):
                operator.install("--set", "certificates.mode=certManager")
                name = f"{operator.NAME}-webhook"
                eventually("it is issued", lambda: cert_manager.is_ready(name, operator.NAMESPACE), 60)
                eventually("it is served", lambda: all_serve_until(90), 60)
                before = served()["tls.crt"]
                cert_manager.renew(name, operator.NAMESPACE)
                eventually("it is renewed", lambda: served()["tls.crt"] != before, 60)
                eventually("its authority is injected", lambda: all(
                    base64.b64decode(served()["ca.crt"]).decode().strip() in each for each in bundles()), 60)
                time.sleep(15)
                operator.install()
                eventually("its own is served", lambda: all_serve_until(30), 120)
        finally:
            operator.install()
