"""Detection of another release by the chart, with a scripted API server."""

import json
import os
import tempfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

from kube import equal
from rendering import template
from runner import scenario

GROUP = "admissionregistration.k8s.io"
REFUSED = "tracebuffer is already installed in this cluster"
# Webhooks in the cluster (name, release, its namespace, entry), and a part of the error message or None.
CLUSTERS = [
    ([], None),
    ([("tracebuffer", "tracebuffer", "tracebuffer", "inject.tracebuffer.dev")], None),
    ([("renamed", "tracebuffer", "tracebuffer", "inject.tracebuffer.dev")], None),
    ([("foreign", "foreign", "foreign", "inject.example.com")], None),
    ([("tracebuffer", None, None, "inject.tracebuffer.dev")], None),
    ([("tracebuffer", "tracebuffer", "tracing", "inject.tracebuffer.dev")], "helm upgrade tracebuffer --namespace tracing"),
    ([("foreign", "foreign", "foreign", "inject.example.com"), ("traces", "traces", "tracing", "inject.tracebuffer.dev")],
     "helm uninstall traces --namespace tracing"),
    ([("traces", None, None, "inject.tracebuffer.dev")], "MutatingWebhookConfiguration traces"),
]


@scenario("chart-second", "a second release in a cluster is refused and the first is named; an upgrade is not refused",
          needs_operator=False)
def sees_the_first():
    for found, named in CLUSTERS:
        with scripted_cluster([configuration(*each) for each in found]) as kubeconfig:
            with mock.patch.dict(os.environ, {"KUBECONFIG": str(kubeconfig)}):
                answer = template("--dry-run=server")
            equal(f"refused with {found}", REFUSED in answer.err, bool(named))
            assert not named or named in answer.err, answer.err
    assert template().code == 0, "helm template without a cluster"


def configuration(name, release, namespace, entry):
    owner = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace} if release else {}
    return {
        "apiVersion": f"{GROUP}/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name, "annotations": owner}, "webhooks": [{"name": entry}],
    }


@contextmanager
def scripted_cluster(configurations):
    """Runs an API server that has only these configurations; yields its kubeconfig."""
    version = {"groupVersion": f"{GROUP}/v1", "version": "v1"}
    resource = {"name": "mutatingwebhookconfigurations", "singularName": "mutatingwebhookconfiguration",
                "namespaced": False, "kind": "MutatingWebhookConfiguration", "verbs": ["get", "list"]}
    answers = {
        "/version": {"major": "1", "minor": "36", "gitVersion": "v1.36.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [
            {"name": GROUP, "versions": [version], "preferredVersion": version}]},
        f"/apis/{GROUP}/v1": {"kind": "APIResourceList", "groupVersion": f"{GROUP}/v1", "resources": [resource]},
        f"/apis/{GROUP}/v1/mutatingwebhookconfigurations": {
            "kind": "MutatingWebhookConfigurationList", "apiVersion": f"{GROUP}/v1", "metadata": {},
            "items": configurations},
    }
    asked = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            path = self.path.split("?")[0]
            asked.append(path)
            body = json.dumps(answers.get(path, {"kind": "Status", "status": "Failure", "code": 404})).encode()
            self.send_response(200 if path in answers else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            kubeconfig = Path(folder) / "kubeconfig"
            kubeconfig.write_text(json.dumps({
                "apiVersion": "v1", "kind": "Config", "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": {}}],
            }))
            yield kubeconfig
        assert any(path.endswith(resource["name"]) for path in asked), f"Helm did not list the webhooks; it requested {asked}"
    finally:
        server.shutdown()
        server.server_close()
