"""Different kinds of workloads."""

import json

from kube import Namespace, apply, equal, eventually, get, kubectl
from parts import (
    INJECT, STATUS, arrived, arrived_of, collector, container, deployment, environment, is_injected,
    job, only_pod, pending_pod, pod, ready_trace_buffer, rolled_out, sending, trace_buffer,
)
from runner import scenario

# Like an SDK: uses the endpoint for traces unchanged, and appends a path to the general endpoint.
POST = r"""
send() { wget -q -O- --header 'content-type: application/json' --post-data "$2" "$1" || echo failed; }
SPAN='{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"NAME"}}]},
"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"x",
"kind":2,"startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}'
METRIC='{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{"asInt":"1","timeUnixNano":"1"}]}}]}]}]}'
traces=${OTEL_EXPORTER_OTLP_TRACES_ENDPOINT:-${OTEL_EXPORTER_OTLP_ENDPOINT:-http://localhost:4318}/v1/traces}
send "$traces" "$SPAN"
[ -z "$OTEL_EXPORTER_OTLP_ENDPOINT" ] || send "$OTEL_EXPORTER_OTLP_ENDPOINT/v1/metrics" "$METRIC"
sleep 1d
"""


def application(name, **variables):
    env = [{"name": key, "value": value} for key, value in variables.items()]
    return container(name, POST.replace("NAME", name), env=env)


@scenario("job", "a Job with the sidecar completes, and its spans arrive")
def completes():
    with Namespace("tb-job") as here:
        ready_trace_buffer(here, endpoint=collector(here))
        apply(job("import", sending(50, then="true")), namespace=here)
        kubectl("wait", "--for=condition=complete", "job/import", "-n", here, "--timeout=60s")
        eventually("its spans arrive", lambda: equal("arrived", arrived(here), 100) is None, 20)


@scenario("three", "of three containers, two send traces through the sidecar; the one that sets an endpoint for traces keeps it, with a warning")
def sets_the_endpoint_of_each_container():
    with Namespace("tb-three") as here, Namespace("tb-three-other") as other:
        through, beside = collector(here), collector(other)
        beside_http = beside.replace("4317", "4318")
        ready_trace_buffer(here, endpoint=through)
        answer = apply(pod(
            "shop",
            application("nothing"),
            application("general", OTEL_EXPORTER_OTLP_ENDPOINT=beside_http),
            application("traces", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{beside_http}/v1/traces"),
        ), namespace=here)
        one = get("pod", "shop", here)
        name = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
        assert is_injected(one)
        equal("first", environment(one, "nothing")[name], "http://127.0.0.1:4317/")
        equal("second", environment(one, "general")[name], "http://127.0.0.1:4317/")
        equal("second's own", environment(one, "general")["OTEL_EXPORTER_OTLP_ENDPOINT"], beside_http)
        equal("third", environment(one, "traces"), {name: f"{beside_http}/v1/traces"})
        assert any("traces" in each for each in answer.warnings), f"no warning: {answer.err}"

        eventually("two send through the sidecar", lambda: arrived(here) == 2)
        equal("of the first", arrived_of(here, "nothing"), 1)
        equal("of the second", arrived_of(here, "general"), 1)
        eventually("the third keeps its endpoint", lambda: arrived_of(other, "traces") == 1)
        equal("spans that bypass the sidecar", arrived(other), 1)
        name = kubectl("get", "pods", "-l", "app=collector", "-n", other, "-o", "name").out.strip()
        eventually("the second's metrics too",
                   lambda: "ResourceMetrics" in kubectl("logs", name, "-n", other).out)


@scenario("attributes", "with application.resourceAttributes an application knows its pod, node and Deployment")
def describes_itself():
    with Namespace("tb-attributes") as here:
        ready_trace_buffer(here, application={"resourceAttributes": "IfUnset"})
        own = container("own", env=[{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "team=a"}])
        apply(deployment("shop", container(), own), namespace=here)
        rolled_out(here, "shop")
        one = only_pod(here, "shop")
        metadata = one["metadata"]

        def attributes(name):
            found = kubectl("exec", metadata["name"], "-c", name, "-n", here, "--",
                            "sh", "-c", "echo $OTEL_RESOURCE_ATTRIBUTES")
            return dict(pair.split("=") for pair in found.out.strip().split(","))

        equal("attributes", attributes("app"), {
            "k8s.namespace.name": here, "k8s.pod.name": metadata["name"], "k8s.pod.uid": metadata["uid"],
            "k8s.node.name": one["spec"]["nodeName"], "k8s.container.name": "app",
            "k8s.deployment.name": "shop",
        })
        equal("the container's own", attributes("own"), {"team": "a"})


@scenario("namespace", "all pods of a labelled namespace are injected, except with an annotation of their own")
def asks_for_a_namespace():
    with Namespace("tb-label", labels={INJECT: "enabled"}) as here:
        ready_trace_buffer(here)
        apply(pod("quiet", inject=None), pod("refusing", inject="false"), namespace=here)
        assert is_injected(get("pod", "quiet", here)), "the label had no effect"
        assert not is_injected(get("pod", "refusing", here)), "the annotation did not override the label"
        status = json.loads(get("pod", "quiet", here)["metadata"]["annotations"][STATUS])
        equal("status", status["injected"], f"{here}/default")


@scenario("first", "a pod created together with its TraceBuffer has its sidecar")
def misses_nothing():
    with Namespace("tb-first") as here:
        apply(trace_buffer(), pending_pod("shop"), namespace=here)
        assert is_injected(get("pod", "shop", here)), get("pod", "shop", here)["metadata"]
