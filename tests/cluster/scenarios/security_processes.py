"""Attacks by processes: a sidecar that is taken over, a peer of its pod, and a client of the webhook."""

import base64
import json
import os
import ssl
import subprocess
from contextlib import closing, contextmanager
from http.client import HTTPSConnection

import operator_release as operator
from kube import Namespace, apply, equal, eventually, get, kubectl, list_all
from parts import (
    RESTRICTED, container, counts, header_from_secret, is_injected, ledger, pending_pod, pod, ready_trace_buffer,
    sending,
)
from runner import scenario

# Has a shell where the sidecar's image has its program.
INTRUDER = {"sidecar": {"image": os.environ.get("INTRUDER_IMAGE", "localhost/intruder:1")}}
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
LITERAL, S3CRET = "literal-value", "s3cret-value"
HEADERS = [{"name": "x-literal", "value": LITERAL}, header_from_secret("vendor", "token")]


def secrets(namespace):
    for name, value in (("vendor", S3CRET), ("other", "other-value")):
        kubectl("create", "secret", "generic", name, "-n", namespace, f"--from-literal=token={value}")


def sh(namespace, name, command, where="tracebuffer"):
    """Runs a command in a container; returns its output, and errors with `failed` behind them."""
    words = ["sh", "-c", f"({command}) 2>&1 || echo failed"]
    return kubectl("exec", name, "-c", where, "-n", namespace, "--", *words).out.strip()


def running(namespace, one):
    apply(one, namespace=namespace)
    name = one["metadata"]["name"]
    kubectl("wait", "--for=condition=Ready", f"pod/{name}", "-n", namespace, "--timeout=30s")
    return get("pod", name, namespace)


def with_files(name, **more):
    """Returns a pod whose application has a file of its own, and a token."""
    app = container(command="echo mine > /data/file && sleep 1d", env=[{"name": "PASSWORD", "value": "hunter2"}],
                    volumeMounts=[{"name": "data", "mountPath": "/data"}])
    return pod(name, app, volumes=[{"name": "data", "emptyDir": {}}], terminationGracePeriodSeconds=1, **more)


@scenario("attack-sidecar", "who takes over a sidecar has no token, capability, writable file or other process, and of the Secrets only the named ones")
def sidecars_are_confined():
    with Namespace("tb-attack-sidecar") as here:
        secrets(here)
        ready_trace_buffer(here, destination={"headers": HEADERS}, **INTRUDER)
        one = running(here, with_files("shop"))
        assert is_injected(one)

        def sidecar(command):
            return sh(here, "shop", command)

        def app(command):
            return sh(here, "shop", command, "app")

        assert "failed" not in app(f"cat {TOKEN}") and "failed" in sidecar(f"cat {TOKEN}"), "the sidecar has a token"
        equal("files in place of the token", sidecar("ls /var/run/secrets/kubernetes.io/serviceaccount"), "limits")
        has_no_rights(sidecar)
        writes_nothing(sidecar)
        equal("files of the destination", sidecar("cd /etc/tracebuffer/destination; cat headers/*"), S3CRET)
        assert "other-value" not in sidecar("busybox env; busybox grep -r '' /etc /var /run"), "it has another Secret"
        sees_no_other_process(sidecar, app)


def has_no_rights(sidecar):
    status = dict(line.split(":\t", 1) for line in sidecar("cat /proc/self/status").splitlines())
    for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        equal(field, int(status[field], 16), 0)
    equal("privileges, seccomp", (status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
    equal("user", status["Uid"].split(), ["10001"] * 4)


def writes_nothing(sidecar):
    for command in (
        "touch /file", "echo x > /receiver", "echo max_spans=1 > /etc/tracebuffer/pod/limits",
        "echo x > /etc/tracebuffer/destination/headers/authorization", "busybox mount -t tmpfs none /var",
        "busybox mknod /dev/disk b 8 0", "busybox chroot / true", "busybox unshare -r true", "busybox hostname other",
        "busybox sysctl -w net.ipv4.ip_forward=1", "busybox ip link set lo down", "busybox nsenter -t 1 -m true",
    ):
        assert "failed" in sidecar(command), f"succeeded: {command}"
    equal("a command that may", sidecar("echo x > /dev/termination-log"), "")


def sees_no_other_process(sidecar, app):
    """Neither sees the other's processes or files. Shared memory belongs to the pod, as docs/security.md says."""
    assert "mine" not in sidecar("cat /proc/[0-9]*/root/data/file"), "the sidecar reads the application's files"
    headers = "/etc/tracebuffer/destination/headers/authorization"
    assert S3CRET not in app(f"cat /proc/[0-9]*/root{headers}"), "the application reads the sidecar's files"
    equal("by the same path", sidecar(f"cat /proc/self/root{headers}"), S3CRET)
    assert "hunter2" not in sidecar("cat /proc/[0-9]*/environ"), "the sidecar reads the application's variables"
    assert "hunter2" in app("cat /proc/[0-9]*/environ"), "the application cannot read its own variables"
    equal("the application's shared memory", app("umask 077; echo shared > /dev/shm/file"), "")
    equal("for its own user", sidecar("cat /dev/shm/file"), "shared")


@scenario("attack-processes", "where a pod's processes see each other, the sidecar is another user: neither can read the other's variables and files")
def users_differ_where_processes_meet():
    with Namespace("tb-attack-processes") as here:
        secrets(here)
        same = {"runAsUser": 10001, "runAsGroup": 10001}
        for name, more in (("default", {}), ("same", {"securityContext": same})):
            sidecar = {**INTRUDER["sidecar"], **more}
            ready_trace_buffer(here, name, destination={"headers": HEADERS}, sidecar=sidecar)
            one = with_files(name, shareProcessNamespace=True, inject=name)
            one["spec"]["containers"][0]["securityContext"] = {**RESTRICTED, **same}
            running(here, one)
            seen = [sh(here, name, "cat /proc/[0-9]*/environ /proc/[0-9]*/root/data/file"),
                    sh(here, name, "cat /proc/[0-9]*/root/etc/tracebuffer/destination/headers/*", "app")]
            found = ["hunter2" in seen[0], "mine" in seen[0], S3CRET in seen[1]]
            # As the same user, both can; this shows that the files are there.
            equal(f"with users by {name}", found, [name == "same"] * 3)


def ask(address, port, method, path, host):
    """Returns a command that sends a request as it is, and prints the response."""
    lines = f"{method} {path} HTTP/1.1\\r\\nHost: {host}\\r\\nX-Forwarded-For: 127.0.0.1\\r\\nConnection: close\\r\\n"
    # nc ends its side of the connection with its input, and a server then need not respond.
    return f"(printf '{lines}Content-Length: 0\\r\\n\\r\\n'; sleep 0.3) | nc -w 5 {address} {port}"


@scenario("attack-peer", "a peer of the pod cannot send spans, flush or stop its sidecar; it reads health and metrics, without any header or endpoint")
def peers_only_read_metrics():
    with Namespace("tb-attack-peer") as here, Namespace("tb-attack-peer-other") as other:
        secrets(here)
        ready_trace_buffer(here, destination={"headers": HEADERS, "batch": {"linger": "1m"}})
        one = running(here, pod("shop", container(command=sending(1)), terminationGracePeriodSeconds=1))
        running(other, pod("peer", inject=None, terminationGracePeriodSeconds=1))
        eventually("spans are buffered", lambda: ledger(here, "shop")["buffered"] == 2)

        def peer(port, *request):
            return sh(other, "peer", ask(one["status"]["podIP"], port, *request), "app")

        def app(port, *request):
            return sh(here, "shop", ask("127.0.0.1", port, *request), "app")

        for port in (4317, 4318):
            assert "Connection refused" in peer(port, "POST", "/v1/traces", "localhost"), f"port {port} is open"
            assert "HTTP/1.1" in app(port, "POST", "/v1/traces", "localhost"), f"port {port} is closed to its pod"
        is_refused(peer, one["status"]["podIP"])
        books = ledger(here, "shop")
        equal("buffered, in flight", (books["buffered"], books["in flight"]), (2, 0))
        equal("restarts", [c["restartCount"] for c in get("pod", "shop", here)["status"]["initContainerStatuses"]], [0])
        reads_no_header(peer, app)
        assert " 200 " in app(9417, "POST", "/flush", "localhost"), "the application cannot flush"
        eventually("its flush has an effect", lambda: ledger(here, "shop")["in flight"] == 2)


def is_refused(peer, ip):
    for method, path in (("GET", "/debug/buffer"), ("POST", "/flush")):
        for host in (ip, "localhost", "127.0.0.1:9417"):
            assert " 403 " in peer(9417, method, path, host), f"{method} {path} as {host}"
            assert " 40" in peer(9417, method, f"http://localhost:9417{path}", host), f"{method} http://localhost{path}"
    for method, path in (("POST", "/quitquitquit"), ("POST", "/metrics"), ("DELETE", "/"), ("GET", "/../flush")):
        assert " 40" in peer(9417, method, path, "localhost"), f"{method} {path}"


def reads_no_header(peer, app):
    """The application reads the endpoint as well, but no header either."""
    pages = [peer(9417, "GET", path, "localhost") for path in ("/", "/live", "/ready", "/metrics")]
    inside = app(9417, "GET", "/debug/buffer", "localhost")
    assert all(" 200 " in page for page in [*pages, inside]), inside
    for page in [*pages, inside]:
        assert LITERAL not in page and S3CRET not in page, f"a header is shown: {page}"
    shown = ["nowhere.invalid" in page for page in [*pages, inside]]
    equal("the endpoint is shown", shown, [False] * len(pages) + [True])


@contextmanager
def connected():
    """Returns a local port that leads to the webhook's Service."""
    words = ["kubectl", "port-forward", f"service/{operator.NAME}-webhook", ":443", "-n", operator.NAMESPACE]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield int(process.stdout.readline().split(" -> ")[0].rpartition(":")[2])
        finally:
            process.kill()


def post(port, body, path="/inject", method="POST", kind="application/json", length=None):
    """Sends a request without verifying the certificate; returns the status and the text of the response."""
    context = ssl._create_unverified_context()  # noqa: S323 # as an attacker would
    with closing(HTTPSConnection("127.0.0.1", port, timeout=10, context=context)) as connection:
        connection.request(method, path, body, {"content-type": kind, "content-length": str(length or len(body))})
        response = connection.getresponse()
        return response.status, response.read().decode()


def review(namespace, one):
    request = {
        "uid": "forged", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE",
        "resource": {"group": "", "version": "v1", "resource": "pods"}, "namespace": namespace, "object": one,
    }
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})


@scenario("attack-webhook", "a forged review changes nothing, and reads a TraceBuffer's literals and the names of Secrets, but no content of one")
def reviews_read_no_secret():
    with Namespace("tb-attack-webhook") as here, Namespace("tb-attack-webhook-other") as other, connected() as port:
        secrets(here)
        ready_trace_buffer(here, destination={"headers": HEADERS})
        before = get("namespace", here)["metadata"]["resourceVersion"]
        status, text = post(port, review(here, pending_pod("forged")))
        answer = json.loads(text)["response"]
        seen = base64.b64decode(answer["patch"]).decode()
        equal("status", (status, answer["allowed"]), (200, True))
        assert LITERAL in seen and "vendor" in seen and S3CRET not in seen, seen

        here_not = ((other, "/inject"), ("kube-system", "/inject-namespace"), (operator.NAMESPACE, "/inject"))
        for namespace, path in here_not:
            status, text = post(port, review(namespace, pending_pod("forged")), path)
            assert status == 200 and LITERAL not in text and "tracebuffer-pod-info" not in text, f"{namespace}: {text}"
        refuses_other_requests(port, here)
        equal("the Namespace", get("namespace", here)["metadata"]["resourceVersion"], before)
        equal("pods", list_all("pods", here), [])
        equal("counts", counts(here).get("total"), 0)
        apply(pending_pod("real"), namespace=here)
        assert is_injected(get("pod", "real", here)), "the webhook no longer works"


def refuses_other_requests(port, here):
    good = review(here, pending_pod("forged"))
    for what, wanted, options in (
        ("GET", 405, {"method": "GET"}), ("another path", 404, {"path": "/metrics"}),
        ("a form", 415, {"kind": "application/x-www-form-urlencoded"}),
        ("no JSON", 400, {"body": "{"}),
        ("nesting", 400, {"body": good.replace('"spec":', f'"deep":{"[" * 5000}{"]" * 5000},"spec":')}),
        ("an unknown namespace", 503, {"body": review("tb-nowhere", pending_pod("forged"))}),
        ("9 MiB", 413, {"length": 9 << 20}),  # the last one: it breaks the forwarded port
    ):
        status, text = post(port, options.pop("body", good), **options)
        equal(f"{what}: {text[:200]}", status, wanted)
        assert S3CRET not in text and LITERAL not in text, text
