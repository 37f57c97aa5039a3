"""Installations with other values."""

import operator_release as operator
from kube import CHART, Failed, Namespace, apply, equal, eventually, get, kubectl
from parts import condition, is_injected, pending_pod, ready_trace_buffer
from runner import scenario


@scenario("ha", "with values-ha.yaml, annotated pods are rejected while no operator is available, and others start")
def fails_closed():
    with Namespace("tb-ha") as here:
        ready_trace_buffer(here)
        try:
            operator.install("-f", CHART / "values-ha.yaml", "--set", "replicaCount=2")
            operator.scale(0)
            try:
                apply(pending_pod("asking"), namespace=here)
                raise AssertionError("an annotated pod was admitted without an operator")
            except Failed as refused:
                assert "inject.tracebuffer.dev" in str(refused), refused
            apply(pending_pod("silent", inject=None), namespace=here)
            operator.scale(2)
            eventually("the pod is admitted", lambda: apply(pending_pod("asking"), namespace=here), 20)
            assert is_injected(get("pod", "asking", here))
        finally:
            operator.install()


@scenario("references", "references are Unknown until the chart grants permission, then verified")
def resolves_references():
    header = {"name": "authorization", "valueFrom": {"secretKeyRef": {"name": "vendor", "key": "token"}}}
    with Namespace("tb-references") as here:
        ready_trace_buffer(here, destination={"headers": [header]})

        def resolved():
            return condition(here, "default", "ResolvedRefs")

        eventually("references are not verified", lambda: equal("ResolvedRefs", resolved(), "Unknown") is None, 20)
        try:
            operator.install("--set", "references.verify=true")
            eventually("the missing Secret is reported", lambda: equal("ResolvedRefs", resolved(), "False") is None, 60)
            kubectl("create", "secret", "generic", "vendor", "-n", here, "--from-literal=token=Bearer x")
            ready_trace_buffer(here, destination={"headers": [header], "timeout": "9s"})
            eventually("the Secret is found", lambda: equal("ResolvedRefs", resolved(), "True") is None, 60)
        finally:
            operator.install()
