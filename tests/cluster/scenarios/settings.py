"""Other ways to install it."""

import subprocess
import tempfile
from pathlib import Path

import operator_release as operator
from kube import CHART, Failed, Namespace, apply, equal, eventually, get, kubectl
from parts import condition, is_injected, pending_pod, ready_trace_buffer
from runner import scenario


@scenario("ha", "with values-ha.yaml, annotated pods wait for an operator rather than start bare, and others start")
def fails_closed():
    with Namespace("tb-ha") as here:
        ready_trace_buffer(here)
        try:
            operator.install("-f", CHART / "values-ha.yaml", "--set", "replicaCount=2")
            operator.scale(0)
            try:
                apply(pending_pod("asking"), namespace=here)
                raise AssertionError("an annotated pod was let in without an operator")
            except Failed as refused:
                assert "inject.tracebuffer.dev" in str(refused), refused
            apply(pending_pod("silent", inject=None), namespace=here)
            operator.scale(2)
            eventually("it is let in", lambda: apply(pending_pod("asking"), namespace=here), 20)
            assert is_injected(get("pod", "asking", here))
        finally:
            operator.install()


@scenario("own-certificate", "with a certificate of one's own in a Secret, the operator makes none and pods are injected")
def uses_a_certificate():
    name = "given-certificate"
    with Namespace("tb-own-certificate") as here, tempfile.TemporaryDirectory() as folder:
        make_certificate(folder, f"{operator.NAME}-webhook.{operator.NAMESPACE}.svc")
        kubectl("create", "secret", "tls", name, "-n", operator.NAMESPACE,
                f"--cert={folder}/tls.crt", f"--key={folder}/tls.key")
        operator.uninstall()
        try:
            operator.install(
                "--set", "certificates.mode=existingSecret", "--set", f"certificates.secretName={name}",
                "--set-file", f"certificates.caBundle={folder}/ca.crt",
            )
            ready_trace_buffer(here)
            apply(pending_pod("shop"), namespace=here)
            assert is_injected(get("pod", "shop", here))
            assert not get("secret", operator.SECRET, operator.NAMESPACE), "it made one of its own"
        finally:
            operator.uninstall()
            operator.install()
            kubectl("delete", "secret", name, "-n", operator.NAMESPACE)
        ready_trace_buffer(here, "again")
        apply(pending_pod("again", inject="again"), namespace=here)
        assert is_injected(get("pod", "again", here)), "the way back does not work"


def make_certificate(folder, host):
    """Makes ca.crt, tls.crt and tls.key for a host."""

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *curve, "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt")
    openssl("req", *curve, "-subj", "/CN=webhook", "-keyout", "tls.key", "-out", "tls.csr")
    (Path(folder) / "names").write_text(f"subjectAltName=DNS:{host}\n")
    openssl("x509", "-req", "-in", "tls.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", "names", "-out", "tls.crt")


@scenario("references", "references are Unknown until the chart grants looking, then told apart")
def resolves_references():
    header = {"name": "authorization", "valueFrom": {"secretKeyRef": {"name": "vendor", "key": "token"}}}
    with Namespace("tb-references") as here:
        ready_trace_buffer(here, destination={"headers": [header]})

        def resolved():
            return condition(here, "default", "ResolvedRefs")

        eventually("nobody has looked", lambda: equal("ResolvedRefs", resolved(), "Unknown") is None, 20)
        try:
            operator.install("--set", "references.verify=true")
            eventually("it is missed", lambda: equal("ResolvedRefs", resolved(), "False") is None, 60)
            kubectl("create", "secret", "generic", "vendor", "-n", here, "--from-literal=token=Bearer x")
            ready_trace_buffer(here, destination={"headers": [header], "timeout": "9s"})
            eventually("it is found", lambda: equal("ResolvedRefs", resolved(), "True") is None, 60)
        finally:
            operator.install()
