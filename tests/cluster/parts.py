"""Objects of the scenarios: applications, destinations, TraceBuffers."""

import base64
import contextlib
import json
import os
from pathlib import Path

from kube import apply, eventually, get, kubectl, list_all, metrics, total

INJECT = "tracebuffer.dev/inject"
STATUS = "tracebuffer.dev/status"
TRACE_BUFFER = "tracebuffer.dev/tracebuffer"
OTELCOL = os.environ.get("OTELCOL_IMAGE", "localhost/otelcol:1")
SENDER = os.environ.get("TELEMETRYGEN_IMAGE", "localhost/telemetrygen:1")
RESTRICTED_POD = {
    "runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"},
}
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
LEDGER = {
    "accepted": "tracebuffer_receiver_accepted_spans_total",
    "sent": "tracebuffer_exporter_sent_spans_total",
    "rejected": "tracebuffer_exporter_rejected_spans_total",
    "dropped": "tracebuffer_dropped_spans_total",
    "buffered": "tracebuffer_buffer_spans",
    "in flight": "tracebuffer_exporter_in_flight_spans",
}
COLLECTOR_CONFIG = """
receivers:
  otlp:
    protocols:
      grpc: {endpoint: "0.0.0.0:4317"}
      http: {endpoint: "0.0.0.0:4318"}
exporters:
  debug: {verbosity: detailed}
service:
  telemetry:
    metrics:
      readers:
        - pull: {exporter: {prometheus: {host: 0.0.0.0, port: 8888}}}
  pipelines:
    traces: {receivers: [otlp], exporters: [debug]}
    metrics: {receivers: [otlp], exporters: [debug]}
"""


def trace_buffer(name="default", endpoint="http://nowhere.invalid:4317", **spec):
    destination = {"endpoint": endpoint, **spec.pop("destination", {})}
    return {
        "apiVersion": "tracebuffer.dev/v1alpha1", "kind": "TraceBuffer",
        "metadata": {"name": name}, "spec": {"destination": destination, **spec},
    }


def ready_trace_buffer(namespace, name="default", **spec):
    """Creates a TraceBuffer and waits until the operator has accepted it."""
    apply(trace_buffer(name, **spec), namespace=namespace)
    eventually(f"TraceBuffer {name} is accepted",
               lambda: condition(namespace, name, "Accepted") == "True", 20)


def condition(namespace, name, kind, field="status"):
    """Returns a condition's status, or another field of it, for the current generation, or None."""
    found = get("tracebuffer", name, namespace)
    for each in found.get("status", {}).get("conditions", []):
        if each["type"] == kind and each.get("observedGeneration") == found["metadata"]["generation"]:
            return each[field]
    return None


def counts(namespace, name="default"):
    """Returns the pod counts of a TraceBuffer's status."""
    return get("tracebuffer", name, namespace).get("status", {}).get("pods") or {}


def container(name="app", command="sleep 1d", image=SENDER, **more):
    return {
        "name": name, "image": image, "command": ["sh", "-c", command],
        "imagePullPolicy": "IfNotPresent", "securityContext": RESTRICTED, **more,
    }


def pod_spec(*containers, **more):
    return {
        "containers": list(containers) or [container()], "securityContext": RESTRICTED_POD,
        "terminationGracePeriodSeconds": 10, **more,
    }


def pod(name, *containers, inject="true", **more):
    annotations = {INJECT: inject} if inject else {}
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "annotations": annotations, "labels": {"app": name}},
        "spec": pod_spec(*containers, **more),
    }


def pending_pod(name, **more):
    """Returns a pod that fits on no node: it is admitted like any other and uses no resources."""
    return pod(name, nodeSelector={"example.com/no-such": "node"}, **more)


def deployment(name, *containers, inject="true", replicas=1, **more):
    annotations = {INJECT: inject} if inject else {}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": annotations},
                "spec": pod_spec(*containers, **more),
            },
        },
    }


def job(name, command):
    """Returns a Job that is injected and runs a command once."""
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {
            "backoffLimit": 0,
            "template": {
                "metadata": {"annotations": {INJECT: "true"}, "labels": {"app": name}},
                "spec": pod_spec(container(command=command), restartPolicy="Never"),
            },
        },
    }


def sending(traces, service="shop", then="sleep 1d", spans=2, flags=""):
    """Returns a command that sends `traces` traces of `spans` spans to localhost, the default of SDKs."""
    return (f"/telemetrygen traces --otlp-insecure --traces {traces} --child-spans {spans - 1} "
            f"--service {service} --workers 1 --rate 0 {flags} && {then}")


def collector(namespace):
    """Starts an OpenTelemetry Collector that counts spans; returns its OTLP endpoint."""
    config = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "collector"},
        "data": {"config.yaml": COLLECTOR_CONFIG},
    }
    program = {
        "name": "collector", "image": OTELCOL, "args": ["--config", "/config/config.yaml"],
        "securityContext": RESTRICTED,
        "readinessProbe": {"tcpSocket": {"port": 4317}, "periodSeconds": 1},
        "volumeMounts": [{"name": "config", "mountPath": "/config"}],
    }
    app = deployment("collector", program, inject=None, terminationGracePeriodSeconds=1,
                     volumes=[{"name": "config", "configMap": {"name": "collector"}}])
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "collector"},
        "spec": {
            "selector": {"app": "collector"},
            "ports": [{"name": "grpc", "port": 4317}, {"name": "http", "port": 4318}],
        },
    }
    apply(config, app, service, namespace=namespace)
    rolled_out(namespace, "collector")
    return f"http://collector.{namespace}:4317"


def sink(namespace):
    """Starts an OTLP/HTTP destination that prints the headers of requests; returns its endpoint."""
    answer = "HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\nconnection: close\\r\\n\\r\\n"
    serve = (f"while :; do printf '{answer}' | nc -l -p 4318 -w 5"
             " | busybox grep -i -E '^(authorization|x-[a-z-]+): '; done")
    app = deployment("sink", container("sink", serve), inject="false", terminationGracePeriodSeconds=1)
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "sink"},
        "spec": {"selector": {"app": "sink"}, "ports": [{"port": 4318}]},
    }
    apply(app, service, namespace=namespace)
    rolled_out(namespace, "sink")
    return f"http://sink.{namespace}:4318"


def headers_at(namespace):
    """Lists the headers that the sink of a namespace has received, with names in lower case."""
    lines = kubectl("logs", "deployment/sink", "-n", namespace).out.splitlines()
    pairs = (line.strip().partition(": ") for line in lines)
    return [f"{name.lower()}: {value}" for name, _, value in pairs]


def claims(token):
    """Returns the claims of a JSON web token."""
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def header_from_secret(name, key):
    """Returns a header authorization with a bearer token from a key of a Secret."""
    source = {"secretKeyRef": {"name": name, "key": key}}
    return {"name": "authorization", "prefix": "Bearer ", "valueFrom": source}


def rolled_out(namespace, name, timeout=60):
    kubectl("rollout", "status", f"deployment/{name}", "-n", namespace, f"--timeout={timeout}s",
            timeout=timeout + 10)


def arrived(namespace):
    """Returns how many spans the Collector of a namespace has accepted since it started."""
    (name,) = [p["metadata"]["name"] for p in running(namespace, "collector")]
    samples = metrics(name, namespace, 8888)
    return int(sum(value for (metric, labels), value in samples.items()
                   if metric.startswith("otelcol_receiver_accepted_spans")))


def arrived_of(namespace, service):
    """Returns how many spans of one service the Collector has printed."""
    (name,) = [p["metadata"]["name"] for p in running(namespace, "collector")]
    here = spans = 0
    for line in kubectl("logs", name, "-n", namespace).out.splitlines():
        if "service.name: Str(" in line:
            here = f"service.name: Str({service})" in line
        spans += bool(here and line.startswith("Span #"))
    return spans


def running(namespace, app):
    """Lists the pods of an application that are not terminating."""
    every = list_all("pods", namespace, f"app={app}")
    return [p for p in every if "deletionTimestamp" not in p["metadata"]]


def only_pod(namespace, app):
    """Waits until an application has one pod, and returns it."""
    found = eventually(f"one pod of {app}", lambda: len(p := running(namespace, app)) == 1 and p)
    return found[0]


def is_injected(one):
    """Returns whether a pod has the sidecar and a status from the webhook that records it."""
    status = json.loads(one["metadata"].get("annotations", {}).get(STATUS, "{}"))
    every = one["spec"].get("initContainers", []) + one["spec"]["containers"]
    return "injected" in status and any(each["name"] == "tracebuffer" for each in every)


def ledger(namespace, pod_name, port=9417):
    """Reads the sidecar's ledger."""
    samples = metrics(pod_name, namespace, port)
    return {word: int(total(samples, name)) for word, name in LEDGER.items()}


def adds_up(books):
    return books["accepted"] == sum(n for word, n in books.items() if word != "accepted")


def environment(one, name):
    """Returns a container's environment: {name: value}."""
    (found,) = [each for each in one["spec"]["containers"] if each["name"] == name]
    return {each["name"]: each.get("value") for each in found.get("env", [])}


def processes(one):
    """Lists the directories in /proc of a pod's processes; those of a remote node are not visible here."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"pod{one['metadata']['uid']}" in (process / "cgroup").read_text():
                found.append(process)
    return found
