"""Permissions of users, and installations in other forms."""

import json
import os
import tempfile

import operator_release as operator
from kube import CHART, Failed, Namespace, apply, delete, equal, eventually, get, helm, kubectl
from parts import deployment, is_injected, only_pod, pending_pod, ready_trace_buffer, rolled_out, trace_buffer
from rendering import make_parent
from runner import scenario

IMAGE = os.environ.get("IMAGE", "")


@scenario("editor", "an editor of a namespace can do the README's steps there; a viewer can only read TraceBuffers")
def grants_users():
    with Namespace("tb-editor") as here:
        for role in ("edit", "view", "admin"):
            kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}", "-n", here)

        def done_by(user, *objects):
            text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
            return kubectl("apply", "-n", here, "--as", user, "-f", "-", stdin=text)

        def can(user, verb, *what):
            answer = kubectl("auth", "can-i", verb, *what, "-n", here, "--as", user, check=False)
            return answer.out.strip() == "yes"

        eventually("the roles are aggregated", lambda: can("view", "list", "tracebuffers.tracebuffer.dev"), 20)
        try:
            done_by("view", trace_buffer())
            raise AssertionError("a viewer has created a TraceBuffer")
        except Failed as refused:
            assert "cannot create resource" in str(refused), refused
        done_by("edit", trace_buffer())
        ready_trace_buffer(here)
        assert can("admin", "create", "tracebuffers.tracebuffer.dev")
        done_by("edit", deployment("shop", inject=None))
        rolled_out(here, "shop")
        annotated = {"spec": {"template": {"metadata": {"annotations": {"tracebuffer.dev/inject": "true"}}}}}
        kubectl("patch", "deployment", "shop", "-n", here, "--as", "edit", "--patch", json.dumps(annotated))
        rolled_out(here, "shop")
        assert is_injected(only_pod(here, "shop"))
        seen = kubectl("get", "tracebuffers", "-n", here, "--as", "view", "-o", "name").out.split()
        equal("TraceBuffers for a viewer", seen, ["tracebuffer.tracebuffer.dev/default"])
        assert not can("edit", "update", "tracebuffers.tracebuffer.dev", "--subresource=status")
        kubectl("delete", "tracebuffer", "default", "-n", here, "--as", "edit")


@scenario("second-release", "a second release is refused and the first is named; the first can still be upgraded")
def refuses_a_second():
    answer = helm("install", "second", CHART, "-n", "tb-second", "--create-namespace",
                  *operator.image_values(IMAGE), check=False)
    try:
        assert answer.code != 0, "a second release was installed"
        assert f"as release {operator.NAME} in namespace {operator.NAMESPACE}" in answer.err, answer.err
    finally:
        helm("uninstall", "second", "-n", "tb-second", "--ignore-not-found")
        delete("namespace", "tb-second", None, "--wait=false")
    operator.install()


@scenario("host-network", "in the node's network the operator serves the configured ports, and pods are injected")
def serves_from_the_node():
    def enforce(level):
        kubectl("label", "namespace", operator.NAMESPACE, "--overwrite",
                f"pod-security.kubernetes.io/enforce={level}")

    enforce("privileged")
    try:
        # The cluster of these scenarios has one node, so only one operator fits.
        operator.install("-f", CHART / "ci" / "host-network-values.yaml", "--set", "replicaCount=1")
        only, = eventually("one operator", lambda: len(found := operator.pods()) == 1 and found)
        assert only["spec"]["hostNetwork"]
        with Namespace("tb-host-network") as here:
            ready_trace_buffer(here)
            apply(pending_pod("shop"), namespace=here)
            assert is_injected(get("pod", "shop", here))
    finally:
        enforce("restricted")
        operator.install()


@scenario("dependency", "a parent chart removes and reinstalls the operator by its condition, and TraceBuffers stay")
def is_switched():
    values = [word.replace("image.", "tracebuffer.image.", 1) if word.startswith("image.") else word
              for word in operator.image_values(IMAGE)]

    def upgrade(enabled):
        with tempfile.TemporaryDirectory() as folder:
            helm("upgrade", operator.NAME, make_parent(folder, "{}"), "-n", operator.NAMESPACE, "--wait",
                 "--timeout", "90s", *values, "--set", f"tracebuffer.enabled={enabled}", timeout=180)

    with Namespace("tb-dependency") as here:
        ready_trace_buffer(here)
        try:
            upgrade("true")
            apply(pending_pod("with"), namespace=here)
            assert is_injected(get("pod", "with", here))
            upgrade("false")
            equal("the webhook", get("mutatingwebhookconfigurations", operator.NAME), None)
            apply(pending_pod("without"), namespace=here)
            assert not is_injected(get("pod", "without", here))
            assert get("tracebuffer", "default", here), "the TraceBuffer was deleted"
            upgrade("true")
            apply(pending_pod("again"), namespace=here)
            assert is_injected(get("pod", "again", here))
        finally:
            operator.install()
