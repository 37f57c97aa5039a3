"""The webhook's certificate: renewal, other issuers, and changes of the issuer, while pods are created."""

import base64
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import cert_manager
import operator_release as operator
from creating import Creating, without_sidecar
from kube import Namespace, apply, delete, equal, eventually, get, kubectl, metrics, total
from parts import pending_pod, ready_trace_buffer
from runner import scenario

# The operator waits a minute between publishing an authority and serving its certificate.
MAX_SECONDS = 150


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
            assert time.monotonic() - start < MAX_SECONDS, "the certificate has not been renewed"
            apply(pending_pod(f"pod-{created}"), namespace=here)
            created += 1
            time.sleep(0.5)
        for _ in range(10):
            apply(pending_pod(f"pod-{created}"), namespace=here)
            created += 1
            time.sleep(0.5)

        missing = without_sidecar(here)
        assert not missing, f"{len(missing)} of {created} without a sidecar: {missing[:10]}"
        after = served()
        assert after["tls.crt"] != before["tls.crt"]
        assert count(after["ca.crt"]) == count(before["ca.crt"]) + 1, "the old and the new authority are not both trusted"
        for entry in get("mutatingwebhookconfigurations", operator.NAME)["webhooks"]:
            assert entry["clientConfig"]["caBundle"] == after["ca.crt"], f"{entry['name']} has another caBundle"


def count(bundle):
    return base64.b64decode(bundle).count(b"BEGIN CERTIFICATE")


def bundles():
    """Returns the caBundle of each entry of the webhook, decoded."""
    entries = get("mutatingwebhookconfigurations", operator.NAME)["webhooks"]
    return [base64.b64decode(each["clientConfig"].get("caBundle", "")).decode() for each in entries]


def all_serve_until(day):
    """Asserts that every operator serves a certificate that expires in this many days."""
    for each in operator.pods():
        samples = metrics(each["metadata"]["name"], operator.NAMESPACE, 9417)
        left = total(samples, "tracebuffer_webhook_certificate_expiry_timestamp_seconds") - time.time()
        equal(f"days until the certificate of {each['metadata']['name']} expires", round(left / 86400), day)
    return True


def make_certificate(folder, days):
    """Issues ca.crt, tls.crt and tls.key for the webhook."""
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
    """Issues a certificate and stores it in a Secret; returns its authority."""
    authority = make_certificate(folder, days)
    data = {part: base64.b64encode((Path(folder) / part).read_bytes()).decode() for part in parts}
    apply({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": data,
        "metadata": {"name": name, "namespace": operator.NAMESPACE},
    })
    return authority


def existing(name, *values):
    """Installs or upgrades with the certificate of this Secret."""
    operator.install("--set", "certificates.mode=existingSecret", "--set", f"certificates.secretName={name}",
                     *values)


@contextmanager
def unbroken(namespace):
    """Creates pods during the context; every one of them must have a sidecar."""
    ready_trace_buffer(namespace)
    with Creating(namespace) as creating:
        yield
        time.sleep(12)  # an operator serves for 10 s after SIGTERM
    equal("pods without a sidecar", without_sidecar(namespace), [])
    print(f"    {creating.created} pods were created meanwhile")
    assert creating.created > 30, f"only {creating.created} pods were created"


@scenario("existing-secret",
          "a certificate from a Secret is installed, renewed and replaced, and every pod is injected")
def uses_a_secret():
    with tempfile.TemporaryDirectory() as folder, Namespace("tb-existing-secret") as here:
        operator.uninstall()
        try:
            first = give(folder, "given", 20)
            existing("given")
            equal("the caBundle", bundles(), [first] * 2)
            assert not get("secret", operator.SECRET, operator.NAMESPACE), "the operator issued a certificate of its own"
            with unbroken(here):
                second = give(folder, "given", 30)
                eventually("the renewed certificate is served", lambda: all_serve_until(30), 60)
                for bundle in bundles():
                    assert first in bundle and second in bundle, "the old and the new authority are not both trusted"
                # Another Secret, which does not contain its authority.
                third = give(folder, "given-too", 40, ("tls.crt", "tls.key"))
                existing("given-too", "--set-file", f"certificates.caBundle={folder}/ca.crt")
                eventually("the other certificate is served", lambda: all_serve_until(40), 30)
                for bundle in bundles():
                    assert second in bundle and third in bundle, "the old and the new authority are not both trusted"
        finally:
            operator.install()
            delete("secret", "given", operator.NAMESPACE)
            delete("secret", "given-too", operator.NAMESPACE)


@scenario("mode-change", "helm upgrade changes the issuer of the certificate and reverts it, and every pod is injected")
def changes_its_mode():
    with tempfile.TemporaryDirectory() as folder, Namespace("tb-mode-change") as here:
        authority = give(folder, "given", 20)
        own = base64.b64decode(served()["ca.crt"]).decode()
        try:
            with unbroken(here):
                existing("given")
                all_serve_until(20)
                for bundle in bundles():
                    assert authority in bundle and own in bundle, "the old and the new authority are not both trusted"
                # Immediately, like a user who reverts an error.
                operator.install()
                all_serve_until(30)
                for bundle in bundles():
                    assert authority in bundle and own in bundle, "the old and the new authority are not both trusted"
                equal("the operator keeps its own authority", own in base64.b64decode(served()["ca.crt"]).decode(), True)
                existing("given")
        finally:
            operator.install()
            delete("secret", "given", operator.NAMESPACE)


@scenario("cert-manager",
          "helm upgrade changes to cert-manager, which renews, and back, and every pod is injected")
def leaves_it_to_cert_manager():
    with cert_manager.running(), Namespace("tb-cert-manager") as here:
        try:
            with unbroken(here):
                operator.install("--set", "certificates.mode=certManager")
                name = f"{operator.NAME}-webhook"
                eventually("the certificate is issued", lambda: cert_manager.is_ready(name, operator.NAMESPACE), 60)
                eventually("the certificate is served", lambda: all_serve_until(90), 60)
                before = served()["tls.crt"]
                cert_manager.renew(name, operator.NAMESPACE)
                eventually("the certificate is renewed", lambda: served()["tls.crt"] != before, 60)
                eventually("its authority is injected", lambda: all(
                    base64.b64decode(served()["ca.crt"]).decode().strip() in each for each in bundles()), 60)
                time.sleep(15)
                operator.install()
                eventually("the operator's own certificate is served", lambda: all_serve_until(30), 120)
        finally:
            operator.install()
