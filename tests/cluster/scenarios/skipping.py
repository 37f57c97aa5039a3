"""Pods that get no sidecar, and how the reason is reported."""

import json

import operator_release as operator
from kube import (
    Failed, Namespace, apply, equal, eventually, get, kubectl, list_all, tracebuffer,
)
from parts import (
    STATUS, condition, container, counts, header_from_secret, is_injected, pending_pod,
    ready_trace_buffer, trace_buffer,
)
from runner import scenario

PLAIN = {"sidecar": {"mode": "Container"}}


def assert_reported(namespace, name, reason):
    """Asserts that annotation, event and `explain pod` have the same reason."""
    one = get("pod", name, namespace)
    assert not is_injected(one), f"{name} was injected"
    status = json.loads(one["metadata"]["annotations"][STATUS])
    equal(f"the status of {name}", status.get("skipped"), reason)
    assert status["message"], f"{name} has no message"
    answer = tracebuffer("explain", "pod", name, "-n", namespace, check=False)
    assert reason in answer.out, f"explain pod {name}: {answer.out}{answer.err}"
    eventually(f"an event on {name} with {reason}", lambda: event(namespace, name, reason), 20)


def event(namespace, name, reason):
    """Returns the event about an object with this reason as its action, or None."""
    for each in list_all("events.v1.events.k8s.io", namespace):
        if each.get("regarding", {}).get("name") == name and each.get("action") == reason:
            return each
    return None


@scenario("skips", "for every reason not to inject, warning, status annotation, event and `explain pod` agree")
def every_reason_is_reported():
    port = [{"containerPort": 4317}]
    with Namespace("tb-skips", restricted=False) as here, Namespace("tb-skips-none") as none, \
            Namespace("tb-skips-many") as many, Namespace("tb-skips-owner") as owner:
        ready_trace_buffer(here)
        ready_trace_buffer(here, "plain", **PLAIN)
        ready_trace_buffer(owner, "closed")
        ready_trace_buffer(owner, "borrowing", allowedNamespaces={"from": "All"},
                           destination={"headers": [header_from_secret("vendor", "token")]})
        # The schema accepts a loopback address; the operator does not.
        apply(trace_buffer("circle", endpoint="http://127.0.0.1:4317"), namespace=here)
        eventually("circle is not accepted", lambda: condition(here, "circle", "Accepted") == "False", 20)
        apply(trace_buffer("one"), trace_buffer("two"), namespace=many)
        cases = [
            (here, "InvalidAnnotation", pending_pod("invalid", inject="a/b/c")),
            (here, "HostNetwork", pending_pod("hostnetwork", hostNetwork=True)),
            (here, "Windows", windows_pod()),
            (here, "NameConflict", pending_pod("conflict", containers=[container("tracebuffer")])),
            (here, "PortClash", pending_pod("clash", containers=[container(ports=port)])),
            (here, "NeedsNativeSidecar", pending_pod("plain", inject="plain", restartPolicy="Never")),
            (here, "TraceBufferNotFound", pending_pod("notfound", inject="elsewhere")),
            (here, "NotAllowed", pending_pod("notallowed", inject=f"{owner}/closed")),
            (here, "ReferencesNotAllowed", pending_pod("borrowing", inject=f"{owner}/borrowing")),
            (here, "TraceBufferNotAccepted", pending_pod("notaccepted", inject="circle")),
            (none, "NoTraceBuffer", pending_pod("none")),
            (many, "SeveralTraceBuffers", pending_pod("several")),
        ]
        for namespace, reason, one in cases:
            name = one["metadata"]["name"]
            answer = apply(one, namespace=namespace)
            assert any(f"({reason})" in each for each in answer.warnings), f"{reason}: {answer.err}"
        for namespace, reason, one in cases:
            assert_reported(namespace, one["metadata"]["name"], reason)
    excluded_is_reported()


def excluded_is_reported():
    """In the operator's namespace the webhook is not called; event and `explain pod` have the reason."""
    here, name = operator.NAMESPACE, "excluded"
    try:
        apply(pending_pod(name), namespace=here)
        eventually("an event has the reason", lambda: event(here, name, "ExcludedNamespace"), 20)
        answer = tracebuffer("explain", "pod", name, "-n", here, check=False)
        assert "ExcludedNamespace" in answer.out, f"explain: {answer.out}{answer.err}"
    finally:
        kubectl("delete", "pod", name, "-n", here, "--wait=false", check=False)


def windows_pod():
    one = pending_pod("windows")
    spec = one["spec"]
    spec["os"] = {"name": "windows"}
    del spec["securityContext"]
    for each in spec["containers"]:
        del each["securityContext"]
    return one


@scenario("wanted", "pods that opt out are unchanged, without a warning; an injected pod has one sidecar")
def leaves_alone():
    with Namespace("tb-wanted") as here:
        ready_trace_buffer(here)
        answer = apply(pending_pod("out", inject="false"), pending_pod("silent", inject=None), namespace=here)
        equal("warnings", answer.warnings, [])
        for name in ("out", "silent"):
            assert not is_injected(get("pod", name, here)), f"{name} was injected"
        assert "OptedOut" in tracebuffer("explain", "pod", "out", "-n", here, check=False).out
        apply(pending_pod("first"), namespace=here)
        spec = get("pod", "first", here)["spec"]
        sidecars = [c["name"] for c in spec["initContainers"] + spec["containers"]].count("tracebuffer")
        equal("sidecars", sidecars, 1)


@scenario("errors", "an invalid TraceBuffer is refused by the schema, or not accepted, and the field is named")
def errors_are_named():
    with Namespace("tb-errors") as here:
        for field, wrong in (
            ("maxSpans", {"buffer": {"maxSpans": 0}}),
            ("grpcPort", {"receiver": {"grpcPort": 70000}}),
            ("endpoint", {"endpoint": "collector:4317"}),
            ("overflow", {"buffer": {"overflow": "Maybe"}}),
            ("concurrency", {"destination": {"concurrency": 1000}}),
        ):
            try:
                apply(trace_buffer(f"wrong-{field.lower()}", **wrong), namespace=here)
            except Failed as refused:
                assert field in str(refused), f"{field} is not named: {refused}"
            else:
                name = f"wrong-{field.lower()}"
                eventually(f"{name} is not accepted",
                           lambda name=name: condition(here, name, "Accepted") == "False", 20)
                message = condition(here, name, "Accepted", "message")
                assert field in message, f"{field} is not named: {message}"


@scenario("missing", "annotated pods that start while no operator runs are reported as missing when one is available again")
def missing_sidecars_are_reported():
    with Namespace("tb-missing") as here:
        ready_trace_buffer(here)
        try:
            operator.scale(0)
            apply(pending_pod("early"), namespace=here)
            assert not is_injected(get("pod", "early", here))
        finally:
            operator.scale(2)
        eventually("the pod is counted as missing", lambda: equal("missing", counts(here).get("missing"), 1) is None, 60)
        eventually("an event has the reason", lambda: event(here, "early", "WebhookNotCalled"), 20)
        answer = tracebuffer("explain", "pod", "early", "-n", here, check=False)
        assert "WebhookNotCalled" in answer.out, f"explain: {answer.out}{answer.err}"
