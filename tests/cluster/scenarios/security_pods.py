"""Attacks by the authors of pods. `skips` and `consent` have those that only name a TraceBuffer."""

import json
import time

from attacks import pod_author
from kube import Namespace, equal, eventually, get, kubectl
from parts import (
    INJECT, STATUS, TRACE_BUFFER, counts, deployment, header_from_secret, is_injected, only_pod, pending_pod,
    ready_trace_buffer, rolled_out,
)
from runner import scenario
from scenarios.namespaces import annotate, decided
from scenarios.skipping import event

LIMITS, RESTARTED = "tracebuffer.dev/limits", "tracebuffer.dev/rollout"
# Values of the annotation that a program which copies them would take for something else.
FORGED_REQUESTS = {
    "lines": "default\nTRACEBUFFER_ENDPOINT=http://evil.example",
    "json": '{"name": "default", "image": "evil.example/image", "env": [{"name": "A", "value": "B"}]}',
    "path": "../kube-system/default",
    "terminal": "default\u001b[2J\u202e",
    "huge": "a" * 200_000,
}


def annotated(one, **annotations):
    """Adds annotations of tracebuffer.dev to a pod."""
    named = {f"tracebuffer.dev/{name}": value for name, value in annotations.items()}
    one["metadata"]["annotations"].update(named)
    return one


def sidecar_of(one):
    """Returns all that a pod got from the webhook but its status."""
    spec = one["spec"]
    volumes = [each for each in spec["volumes"] if not each["name"].startswith("kube-api-access")]
    return [spec["initContainers"], volumes, one["metadata"]["annotations"][LIMITS]]


@scenario("attack-pod", "the author of a pod can set nothing of its sidecar, whatever the annotations are")
def pods_set_nothing():
    with Namespace("tb-attack-pod") as here:
        author = pod_author(here, "author")
        ready_trace_buffer(here)
        for name, value in FORGED_REQUESTS.items():
            equal(f"{name}: exit code", author.creates(here, pending_pod(name, inject=value)).code, 0)
        for name in FORGED_REQUESTS:
            assert_harmless(here, name)
        lie = json.dumps({"skipped": "PortClash", "message": "call\n+1 555 0100"})
        author.may("annotate", "pod", "path", "--overwrite", f"{STATUS}={lie}", "-n", here)
        lied = eventually("an event has the forged text", lambda: event(here, "path", "PortClash"), 20)
        equal("in one line", lied["note"], "call; +1 555 0100")

        author.creates(here, pending_pod("plain"))
        dressed = annotated(
            pending_pod("dressed"), image="evil.example/image", endpoint="http://evil.example:4317",
            limits="max_spans=1\nmax_bytes=1\n", status='{"injected":"a/b"}', tracebuffer="kube-system/default")
        author.creates(here, dressed)
        assert is_injected(get("pod", "plain", here))
        equal("the sidecar", sidecar_of(get("pod", "dressed", here)), sidecar_of(get("pod", "plain", here)))

        volume = pending_pod("volume", volumes=[{"name": "tracebuffer-pod-info", "emptyDir": {}}])
        author.creates(here, volume)
        equal("with a volume of the sidecar's name", decided(here, "volume"), "NameConflict")
        author.is_forbidden("annotate", "namespace", here, f"{TRACE_BUFFER}=kube-system/default")
        author.is_forbidden("label", "namespace", here, f"{INJECT}=true")


def assert_harmless(namespace, name):
    """Asserts that a pod was skipped, and that its annotation is quoted in one short line."""
    one = get("pod", name, namespace)
    assert not is_injected(one) and "initContainers" not in one["spec"], f"{name} was injected"
    status = json.loads(one["metadata"]["annotations"][STATUS])
    equal(f"{name}: reason", status["skipped"], "InvalidAnnotation")
    seen = eventually(f"{name}: an event", lambda: event(namespace, name, "InvalidAnnotation"), 20)
    for text in (status["message"], seen["note"]):
        assert len(text) < 1000 and text.isprintable(), f"{name}: {text!r}"


def forged_status(name, namespace, **more):
    """Returns the annotation of a pod that claims an old sidecar of a TraceBuffer."""
    found = get("tracebuffer", name, namespace)
    return json.dumps({"injected": f"{namespace}/{name}", "uid": found["metadata"]["uid"], "hash": "old",
                       "maxBytes": 33554432, **more})


def forged(one, status):
    """Makes a pod, or the template of a Deployment, claim to be injected."""
    metadata = one["spec"]["template"]["metadata"] if one["kind"] == "Deployment" else one["metadata"]
    metadata["annotations"] = {STATUS: status}
    metadata["labels"]["tracebuffer.dev/injected"] = "true"
    return one


def annotation(namespace, name, key):
    return get("pod", name, namespace)["metadata"]["annotations"].get(key)


@scenario("attack-status", "a forged status changes counts and the limits of its own pod: no restart, no Secret, no other pod")
def status_is_no_proof():
    with Namespace("tb-attack-status-owner") as owner, Namespace("tb-attack-status") as here:
        author = pod_author(here, "author")
        references = {"headers": [header_from_secret("vendor", "token")]}
        rollout = {"strategy": "OnChange", "interval": "0s"}
        ready_trace_buffer(owner, "closed", rollout=rollout)
        ready_trace_buffer(owner, "open", allowedNamespaces={"from": "All"}, rollout=rollout, destination=references)
        # The Namespace consents, so only the template that does not ask is in the way of a restart.
        annotate(here, f"{owner}/open")

        shop = forged(deployment("shop", inject=None), forged_status("open", owner))
        equal("exit code", author.creates(here, shop).code, 0)
        rolled_out(here, "shop")
        first = only_pod(here, "shop")["metadata"]
        author.creates(here, forged(pending_pod("foreign", inject=None), forged_status("closed", owner)))
        author.creates(here, forged(pending_pod("bystander", inject=None), "{}"))

        eventually("it is counted", lambda: equal("outdated", counts(owner, "open").get("outdated"), 1) is None, 20)
        eventually("it gets limits", lambda: annotation(here, first["name"], LIMITS), 20)
        time.sleep(8)  # Restarts take place every three seconds.
        equal("counts of the TraceBuffer that does not allow it", counts(owner, "closed").get("total"), 0)
        for name in ("foreign", "bystander"):
            equal(f"limits of {name}", annotation(here, name, LIMITS), None)
        after = only_pod(here, "shop")
        equal("the pod", after["metadata"]["uid"], first["uid"])
        template = get("deployment", "shop", here)["spec"]["template"]["metadata"]["annotations"]
        equal("annotations of the template", list(template), [STATUS])
        assert "initContainers" not in after["spec"] and "vendor" not in json.dumps(after["spec"]), after["spec"]

        # Control: the same Deployment is restarted as soon as its template asks, and its pod is outdated.
        asking = {"spec": {"template": {"metadata": {"annotations": {INJECT: "true"}}}}}
        kubectl("patch", "deployment", "shop", "-n", here, "--patch", json.dumps(asking))
        rolled_out(here, "shop")
        assert is_injected(only_pod(here, "shop")), "the control was not injected"
        ready_trace_buffer(owner, "open", allowedNamespaces={"from": "All"}, rollout=rollout)
        eventually("the control is restarted", lambda: RESTARTED in get(
            "deployment", "shop", here)["spec"]["template"]["metadata"]["annotations"], 40)
