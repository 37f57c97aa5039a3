"""Applications that nobody wrote for a test of traces, with automatic instrumentation and its defaults."""

import os
import re

from kube import Namespace, apply, equal, eventually, kubectl, list_all
from parts import (
    RESTRICTED, collector, container, deployment, is_injected, only_pod, ready_trace_buffer, rolled_out, running,
)
from runner import scenario

IMAGES = {name: os.environ.get(f"{name.upper()}_IMAGE", f"localhost/{name}:1") for name in ("flask", "express")}
ROUTES = {"flask": "/hello/<name>", "express": "/hello/:name"}
# Asks both applications several times a second until it is told to stop, and prints which have answered.
ASK = """
ask() { [ "$(wget -q -O- http://$2:8080/hello/you)" = 'hello you' ] && echo $1; }
until [ -e /dev/shm/stop ]; do ask flask $FLASK_SERVICE_HOST; ask express $EXPRESS_SERVICE_HOST; sleep 0.1; done
echo stopped
sleep 1d
"""


def application(name):
    """Returns a Deployment and its Service. Of the SDK's variables only the name is set, as users do."""
    app = {
        "name": name, "image": IMAGES[name], "imagePullPolicy": "IfNotPresent", "securityContext": RESTRICTED,
        "env": [{"name": "OTEL_SERVICE_NAME", "value": name}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        # Until nobody sends requests to a pod that ends.
        "lifecycle": {"preStop": {"sleep": {"seconds": 2}}},
    }
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 8080}]},
    }
    return [deployment(name, app, terminationGracePeriodSeconds=30), service]


@scenario("zero-code", "Flask and Express with automatic instrumentation and its defaults: every request is a span, also over a rollout restart")
def traces_without_code():
    with Namespace("tb-zero-code") as here:
        ready_trace_buffer(here, endpoint=collector(here))
        answer = apply(*application("flask"), *application("express"), namespace=here)
        equal("warnings", answer.warnings, [])
        for name in IMAGES:
            rolled_out(here, name)
            assert is_injected(only_pod(here, name)), f"{name} was not injected"
        apply(deployment("client", container(command=ASK), inject=None), namespace=here)
        rolled_out(here, "client")
        eventually("both answer", lambda: min(answers(here).values()) > 10, 30)
        every_pod_is_replaced(here)

        kubectl("exec", "deployment/client", "-n", here, "--", "sh", "-c", "echo > /dev/shm/stop")
        eventually("the client stops", lambda: "stopped" in asked(here), 10)
        wanted = answers(here)
        eventually("every answer is a span", lambda: equal(
            "server spans", {name: len(server_spans(here, name)) for name in IMAGES}, wanted) is None, 30)
        print(f"    {wanted} requests were answered and traced")
        for name, route in ROUTES.items():
            for span in server_spans(here, name):
                for key, value in (("method", "Str(GET)"), ("route", f"Str({route})"), ("status_code", "Int(200)")):
                    assert re.search(rf"-> http\.\S*{key}: {re.escape(value)}", span), f"{name} lacks {key}: {span}"
        events = [each for each in list_all("events.v1.events.k8s.io", here) if each["type"] == "Warning"]
        equal("warnings of the operator", [each for each in events if each["reportingController"] == "tracebuffer"], [])


def asked(namespace):
    return kubectl("logs", "deployment/client", "-n", namespace).out.split()


def answers(namespace):
    """Returns how many requests each application has answered."""
    lines = asked(namespace)
    return {name: lines.count(name) for name in IMAGES}


def every_pod_is_replaced(namespace):
    """Restarts both applications, and waits until the old pods have ended."""
    old = {name: only_pod(namespace, name)["metadata"]["name"] for name in IMAGES}
    kubectl("rollout", "restart", *(f"deployment/{name}" for name in IMAGES), "-n", namespace)
    for name in IMAGES:
        rolled_out(namespace, name)
        kubectl("wait", "--for=delete", f"pod/{old[name]}", "-n", namespace, "--timeout=60s")


def server_spans(namespace, service):
    """Lists the spans of requests that an application has received, as the Collector prints them."""
    (one,) = running(namespace, "collector")
    text = kubectl("logs", one["metadata"]["name"], "-n", namespace).out
    resources = [each for each in text.split("ResourceSpans #")[1:] if f"service.name: Str({service})" in each]
    spans = [span for each in resources for span in each.split("\nSpan #")[1:]]
    return [span for span in spans if re.search(r"Kind +: Server", span)]
