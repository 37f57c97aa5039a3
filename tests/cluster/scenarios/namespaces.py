"""Selection of a pod's TraceBuffer, and consent to it."""

import json
import time

import operator_release as operator
from kube import Namespace, apply, delete, equal, eventually, get, kubectl
from parts import (
    STATUS, TRACE_BUFFER, container, counts, deployment, header_from_secret, headers_at, is_injected, only_pod,
    pending_pod, ready_trace_buffer, rolled_out, sending, sink, trace_buffer,
)
from runner import scenario
from scenarios.skipping import event


def decided(namespace, name):
    """Returns the TraceBuffer that a pod was injected from, or the reason why it was skipped."""
    status = json.loads(get("pod", name, namespace)["metadata"]["annotations"][STATUS])
    return status.get("injected") or status["skipped"]


def decide(namespace, name, **more):
    """Creates a pod that fits on no node, and returns the decision about it."""
    apply(pending_pod(name, **more), namespace=namespace)
    return decided(namespace, name)


def annotate(namespace, trace_buffer):
    """Names a TraceBuffer in the annotation of a Namespace, and waits until the operators have seen it."""
    kubectl("annotate", "namespace", namespace, "--overwrite", f"{TRACE_BUFFER}={trace_buffer}")
    time.sleep(1)


@scenario("namespace-names", "a pod that names no TraceBuffer gets the one that its Namespace names")
def namespace_names_one():
    with Namespace("tb-names-platform") as platform, \
            Namespace("tb-names", labels={"tracebuffer.dev/inject": "true"}) as here:
        ready_trace_buffer(platform, "shared", allowedNamespaces={"from": "All"})
        ready_trace_buffer(here, "default")
        ready_trace_buffer(here, "named")
        equal("without an annotation", decide(here, "plain"), f"{here}/default")
        annotate(here, f"{platform}/shared")
        equal("with the annotation", decide(here, "asking"), f"{platform}/shared")
        equal("by the label alone", decide(here, "silent", inject=None), f"{platform}/shared")
        equal("the pod's annotation", decide(here, "own", inject="named"), f"{here}/named")
        annotate(here, "named")
        equal("a name in the same namespace", decide(here, "second", inject="enabled"), f"{here}/named")
        annotate(here, "nowhere")
        equal("an error does not fall through", decide(here, "third"), "TraceBufferNotFound")
        annotate(here, "not a name")
        equal("an invalid annotation", decide(here, "fourth"), "InvalidAnnotation")
        found = counts(here)
        equal("the injected pod stays current", (found["current"], found["outdated"]), (1, 0))


@scenario("operator-default", "if neither pod nor Namespace names a TraceBuffer and the namespace has none, the operator's default applies")
def operator_has_a_default():
    with Namespace("tb-default-platform") as platform, Namespace("tb-default") as here:
        ready_trace_buffer(platform, "all", allowedNamespaces={"from": "All"})
        equal("without a default", decide(here, "first"), "NoTraceBuffer")
        try:
            operator.reinstall("--set", f"defaultTraceBuffer={platform}/all")
            equal("the default", decide(here, "second"), f"{platform}/all")
            eventually("it is counted there", lambda: equal(
                "current", counts(platform, "all").get("current"), 1) is None, 20)
            # Created at the same time: the operator looks for one in the namespace before it applies the default.
            apply(trace_buffer("own"), pending_pod("third"), namespace=here)
            equal("one in the namespace takes precedence", decided(here, "third"), f"{here}/own")
            apply(trace_buffer("other"), namespace=here)
            time.sleep(1)
            equal("several are an error", decide(here, "fourth"), "SeveralTraceBuffers")
        finally:
            operator.install()
        found = counts(platform, "all")
        equal("another default makes nothing outdated", (found["current"], found["outdated"]), (1, 0))


@scenario("selector", "a TraceBuffer serves the namespaces that its selector selects, as soon as their labels change")
def labels_select():
    selector = {"matchLabels": {"team": "a"}, "matchExpressions": [{"key": "stage", "operator": "Exists"}]}
    with Namespace("tb-selector-owner") as owner, Namespace("tb-selector") as here:
        ready_trace_buffer(owner, "shared", allowedNamespaces={"from": "Selector", "selector": selector})
        wanted = f"{owner}/shared"
        equal("without labels", decide(here, "first", inject=wanted), "NotAllowed")
        kubectl("label", "namespace", here, "team=a", "stage=test")
        eventually("the new labels apply", lambda: tried(here, wanted) == wanted, 10)
        kubectl("label", "namespace", here, "stage-")
        eventually("a removed label applies", lambda: tried(here, wanted) == "NotAllowed", 10)


def tried(namespace, wanted):
    name = f"try-{time.time_ns()}"
    return decide(namespace, name, inject=wanted)


@scenario("consent", "a TraceBuffer of another namespace uses a Secret and restarts workloads only with the Namespace's consent")
def needs_both_sides():
    with Namespace("tb-consent-owner") as owner, Namespace("tb-consent") as here:
        kubectl("create", "secret", "generic", "vendor", "-n", here, "--from-literal=token=s3cret")
        endpoint = sink(owner)
        destination = {"protocol": "HTTPProtobuf", "headers": [header_from_secret("vendor", "token")]}
        shared = {
            "endpoint": endpoint, "destination": destination, "allowedNamespaces": {"from": "All"},
            "rollout": {"strategy": "OnChange", "interval": "0s"},
        }
        ready_trace_buffer(owner, "shared", **shared)
        wanted = f"{owner}/shared"
        equal("named only by the pod", decide(here, "thief", inject=wanted), "ReferencesNotAllowed")

        # A pod that was injected before the TraceBuffer had references does not get them later.
        plain = {**shared, "destination": {"protocol": "HTTPProtobuf"}}
        ready_trace_buffer(owner, "shared", **plain)
        shop = deployment("shop", container(command=f"while :; do {sending(1, then='sleep 2')}; done"), inject=wanted)
        apply(shop, namespace=here)
        rolled_out(here, "shop")
        first = only_pod(here, "shop")["metadata"]["uid"]
        ready_trace_buffer(owner, "shared", **shared)
        eventually("it is outdated", lambda: equal("outdated", counts(owner, "shared")["outdated"], 1) is None, 20)
        time.sleep(8)
        equal("nothing was restarted", only_pod(here, "shop")["metadata"]["uid"], first)
        assert not any("s3cret" in each for each in headers_at(owner)), "the Secret was sent without consent"

        annotate(here, wanted)
        eventually("the workload is restarted", lambda: only_pod(here, "shop")["metadata"]["uid"] != first, 60)
        assert is_injected(only_pod(here, "shop"))
        eventually("the Secret is sent with consent", lambda: "authorization: Bearer s3cret" in headers_at(owner), 60)


@scenario("excluded", "pods of excluded namespaces are never missing; in kube-system only annotated pods can be injected")
def excludes_namespaces():
    label = {"tracebuffer.dev/inject": "true"}
    with Namespace("tb-excluded", labels=label) as here:
        ready_trace_buffer(here)
        system = "kube-system"
        try:
            operator.reinstall("--set", f"webhook.excludedNamespaces={{{here}}}")
            apply(pending_pod("asking"), pending_pod("silent", inject=None), namespace=here)
            for name in ("asking", "silent"):
                assert not is_injected(get("pod", name, here)), f"{name} was injected"
            eventually("an event has the reason", lambda: event(here, "asking", "ExcludedNamespace"), 20)
            equal("missing", counts(here).get("missing"), 0)

            kubectl("label", "namespace", system, "tracebuffer.dev/inject=true")
            apply(trace_buffer("tb-excluded"), namespace=system)
            apply(pending_pod("tb-silent", inject=None), namespace=system)
            assert not is_injected(get("pod", "tb-silent", system)), "the label has an effect in kube-system"
            equal("an annotated pod there", decide(system, "tb-asking"), f"{system}/tb-excluded")
            eventually("only the annotated pod is counted", lambda: equal(
                "total and missing", [counts(system, "tb-excluded").get(k) for k in ("total", "missing")], [1, 0]) is None, 20)
        finally:
            kubectl("label", "namespace", system, "tracebuffer.dev/inject-", check=False)
            for name in ("tb-silent", "tb-asking"):
                delete("pod", name, system, "--wait=false")
            delete("tracebuffer", "tb-excluded", system)
            operator.install()
