"""What the operator tells of pods whose sidecar does not do its work."""

import json

import operator_release as operator
from kube import Namespace, apply, delete, equal, eventually, get, kubectl, list_all, total, tracebuffer
from parts import (
    STATUS, condition, container, counts, deployment, ledger, only_pod, ready_trace_buffer, rolled_out, sending,
)
from runner import scenario

ON_CHANGE = {"strategy": "OnChange", "maxConcurrent": 1, "interval": "1s"}


def events_on(namespace, name):
    """Returns {reason: note} of the operator's events on a Deployment."""
    every = list_all("events.events.k8s.io", namespace)
    return {e["reason"]: e.get("note", "") for e in every
            if e["regarding"]["kind"] == "Deployment" and e["regarding"]["name"] == name
            and e.get("reportingController") == "tracebuffer"}


def counted(namespace, **wanted):
    """Waits until the status of the TraceBuffer has these counts."""
    eventually(f"counts {wanted}", lambda: equal(
        "counts", {key: counts(namespace).get(key) for key in wanted}, wanted) is None, 40)


@scenario("failing", "a sidecar that cannot start is counted and explained, and a corrected TraceBuffer un-sticks its Deployment")
def reports_failing_sidecars():
    with Namespace("tb-failing") as here:
        ready_trace_buffer(here, rollout=ON_CHANGE, sidecar={"image": "localhost/no-such-image:1"})
        apply(deployment("shop"), namespace=here)

        counted(here, total=1, current=0, failing=1)
        note = eventually("the event", lambda: events_on(here, "shop").get("SidecarFailing"), 20)
        assert "Image" in note and "no-such-image" in note, note
        table = kubectl("get", "tracebuffer", "default", "-n", here).out
        header, row = (line.split() for line in table.splitlines())
        equal("column FAILING", row[header.index("FAILING")], "1")
        equal("metric", total(operator.leader_metrics(), "tracebuffer_failing_pods"), 1)
        checked = tracebuffer("check", "-n", here, check=False)
        assert checked.code != 0 and "whose sidecar does not run: tb-failing/shop-" in checked.out, checked.out

        ready_trace_buffer(here, rollout=ON_CHANGE)
        rolled_out(here, "shop", timeout=90)
        counted(here, total=1, current=1, failing=0)


@scenario("bypassing", "a container that sends its traces elsewhere is counted, explained, and an event on its Deployment")
def reports_bypassing_pods():
    with Namespace("tb-bypassing") as here:
        ready_trace_buffer(here)
        elsewhere = {"name": "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "value": "http://elsewhere.invalid:4317"}
        apply(deployment("shop", container(env=[elsewhere]), terminationGracePeriodSeconds=30), namespace=here)
        rolled_out(here, "shop")

        counted(here, total=1, current=1, bypassing=1)
        note = eventually("the event", lambda: events_on(here, "shop").get("InjectionWarning"), 20)
        assert "bypass the buffer: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set there" in note, note
        one = only_pod(here, "shop")
        status = json.loads(one["metadata"]["annotations"][STATUS])
        assert status["bypassed"] and len(status["warnings"]) == 1, status
        told = tracebuffer("explain", "pod", one["metadata"]["name"], "-n", here, check=False).out
        assert status["warnings"][0] in " ".join(told.split()), told


@scenario("lost", "what a sidecar lost at its end is an event on the Deployment, although its pod is gone")
def reports_losses():
    with Namespace("tb-lost") as here:
        ready_trace_buffer(here, endpoint="http://nowhere.invalid:4317")
        apply(deployment("shop", container(command="trap 'exit 0' TERM; " + sending(50, then="sleep 1d & wait"))),
              namespace=here)
        rolled_out(here, "shop")
        name = only_pod(here, "shop")["metadata"]["name"]
        eventually("the spans are buffered", lambda: ledger(here, name)["buffered"] == 100)

        kubectl("scale", "deployment", "shop", "-n", here, "--replicas=0")

        note = eventually("the event", lambda: events_on(here, "shop").get("SpansLost"), 40)
        assert f"pod {name} ended with a loss of spans: shutdown 100;" in note, note


@scenario("waiting", "a paused Deployment that a change waits for is named in the status until it is resumed")
def tells_what_a_rollout_waits_for():
    with Namespace("tb-waiting") as here:
        ready_trace_buffer(here, rollout=ON_CHANGE)
        apply(deployment("shop"), namespace=here)
        rolled_out(here, "shop")
        kubectl("rollout", "pause", "deployment/shop", "-n", here)

        ready_trace_buffer(here, rollout=ON_CHANGE, destination={"compression": "Gzip"})
        eventually("the status waits", lambda: condition(here, "default", "RolledOut", "reason") == "Waiting", 40)
        message = condition(here, "default", "RolledOut", "message")
        equal("message", message, "cannot be restarted now: Deployment tb-waiting/shop (it is paused)")

        kubectl("rollout", "resume", "deployment/shop", "-n", here)
        eventually("the rollout completes", lambda: condition(here, "default", "RolledOut") == "True", 90)
        counted(here, total=1, current=1, outdated=0)


def ready_within(namespace, status, timeout=40):
    """Waits until the condition Ready has a status, and returns its message."""
    eventually(f"Ready is {status}", lambda: condition(namespace, "default", "Ready") == status, timeout)
    return condition(namespace, "default", "Ready", "message")


@scenario("unreachable", "Ready is False while the webhook's configuration or Service is gone, and `check` finds the operator")
def tells_an_unreachable_webhook():
    with Namespace("tb-unreachable") as here:
        ready_trace_buffer(here)
        ready_within(here, "True")

        delete("mutatingwebhookconfiguration", operator.NAME)
        message = ready_within(here, "False")
        equal("message", message,
              f"new pods get no sidecar: MutatingWebhookConfiguration {operator.NAME} does not exist")
        checked = tracebuffer("check", "-n", here, check=False).out
        assert " of 2 pods of Deployment tracebuffer/tracebuffer are ready" in checked, checked
        operator.install()
        ready_within(here, "True", 60)

        service = f"{operator.NAME}-webhook"
        assert get("service", service, operator.NAMESPACE), "the Service has another name"
        delete("service", service, operator.NAMESPACE)
        message = ready_within(here, "False")
        equal("message", message,
              f"new pods get no sidecar: Service {operator.NAMESPACE}/{service} has no ready endpoint")
        operator.install()
        ready_within(here, "True", 60)
