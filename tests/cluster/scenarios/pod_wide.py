"""What a sidecar changes for its pod as a whole: the table of docs/operations.md."""

import json

from kube import Namespace, apply, equal, eventually, get, kubectl
from parts import container, is_injected, pending_pod, pod, ready_trace_buffer
from runner import scenario

SAME = {"cpu": "100m", "memory": "64Mi"}
# What a container asks for, with the QoS class of its pod without and with the sidecar.
RESOURCES = {
    "best-effort": ({}, "BestEffort", "Burstable"),
    "burstable": ({"requests": {"cpu": "10m"}}, "Burstable", "Burstable"),
    "guaranteed": ({"requests": SAME, "limits": SAME}, "Guaranteed", "Guaranteed"),
}
# Fields of the pod that a careful team sets, none of which is the sidecar's business.
TEAM = {
    "priorityClassName": "tb-pod-wide", "terminationGracePeriodSeconds": 45,
    "tolerations": [{"key": "example.com/spot", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
        "weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname"}}]}},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
                                   "whenUnsatisfiable": "ScheduleAnyway",
                                   "labelSelector": {"matchLabels": {"app": "shop"}}}],
    "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]},
}
CHANGED = ("containers", "initContainers", "volumes")


def both(namespace, name, *containers, **more):
    """Creates a pod without and a pod with the sidecar, and returns both."""
    pods = {}
    for inject in ("false", "true"):
        one = f"{name}-{inject}"
        apply(pending_pod(one, *containers, inject=inject, **more) if not containers
              else pod(one, *containers, inject=inject, nodeSelector={"example.com/no-such": "node"}, **more),
              namespace=namespace)
        pods[inject] = get("pod", one, namespace)
    assert is_injected(pods["true"]) and not is_injected(pods["false"])
    return pods["false"], pods["true"]


def without_tokens(volumes):
    """Leaves out the volume whose name the API server makes up."""
    return [each for each in volumes if not each["name"].startswith("kube-api-access-")]


def local_limits(one):
    every = one["spec"]["containers"] + one["spec"].get("initContainers", [])
    return [c["name"] for c in every if "ephemeral-storage" in c.get("resources", {}).get("limits", {})]


@scenario("pod-wide", "the sidecar changes nothing of its pod as a whole but a BestEffort QoS class, and bounds no pod's local storage")
def leaves_the_pod_alone():
    with Namespace("tb-pod-wide") as here:
        apply({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
               "metadata": {"name": "tb-pod-wide"}, "value": 7})
        ready_trace_buffer(here)
        for name, (resources, alone, together) in RESOURCES.items():
            bare, injected = both(here, name, container(resources=resources))
            equal(f"{name} alone", bare["status"]["qosClass"], alone)
            equal(f"{name} with the sidecar", injected["status"]["qosClass"], together)
            equal(f"{name}: limits of local storage", local_limits(injected), [])

        bare, injected = both(here, "team", **TEAM)
        for field in (bare["spec"].keys() | injected["spec"].keys()) - set(CHANGED):
            equal(field, injected["spec"].get(field), bare["spec"].get(field))
        added = [v for v in without_tokens(injected["spec"]["volumes"]) if v not in bare["spec"].get("volumes", [])]
        equal("volumes that keep a node from being removed", [v["name"] for v in added if "emptyDir" in v], [])

        limited = container(resources={"limits": {"ephemeral-storage": "1Gi"}})
        _, injected = both(here, "limited", limited)
        equal("limits of local storage", sorted(local_limits(injected)), ["app", "tracebuffer"])


@scenario("policies", "a LimitRange and a ResourceQuota count the sidecar like any container; one that leaves no room refuses the pod and says why")
def meets_policies():
    with Namespace("tb-policies") as here:
        ready_trace_buffer(here)
        apply({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "defaults"}, "spec": {"limits": [{
                  "type": "Container", "default": {"cpu": "1", "memory": "256Mi"},
                  "defaultRequest": {"cpu": "20m", "memory": "32Mi"}, "max": {"cpu": "2", "memory": "512Mi"}}]}},
              {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "room"}, "spec": {"hard": {
                  "limits.memory": "860Mi", "limits.cpu": "4", "requests.cpu": "1", "requests.memory": "700Mi"}}},
              namespace=here)
        eventually("the quota is counted", lambda: get("resourcequota", "room", here).get("status", {}).get("hard"))
        _, injected = both(here, "fits")
        (sidecar,) = [c for c in injected["spec"]["initContainers"] if c["name"] == "tracebuffer"]
        equal("memory of the sidecar", sidecar["resources"]["limits"]["memory"], "64Mi")
        equal("CPU that it may use", sidecar["resources"]["limits"]["cpu"], "1")

        refused = kubectl("create", "-n", here, "-f", "-", check=False, stdin=json.dumps(pending_pod("second")))
        assert refused.code != 0 and "exceeded quota: room" in refused.err, refused.err
        alone = kubectl("create", "-n", here, "-f", "-", "--dry-run=server", check=False,
                        stdin=json.dumps(pending_pod("second", inject="false")))
        equal("the same pod without the sidecar", alone.code, 0)

        ready_trace_buffer(here, "large", buffer={"maxBytes": "600Mi"})
        refused = kubectl("create", "-n", here, "-f", "-", check=False,
                          stdin=json.dumps(pending_pod("third", inject="large")))
        assert refused.code != 0 and "maximum memory usage per Container is 512Mi" in refused.err, refused.err


@scenario("tokens", "mounted tokens stay readable by the application's user only")
def keeps_the_mode_of_tokens():
    with Namespace("tb-tokens") as here:
        ready_trace_buffer(here)
        show = "stat -L -c %a /var/run/secrets/kubernetes.io/serviceaccount/token; sleep 1d"
        modes = {}
        for inject in ("false", "true"):
            name = f"shop-{inject}"
            apply(pod(name, container(command=show), inject=inject), namespace=here)
            modes[inject] = eventually(f"{name} reports", lambda: kubectl(
                "logs", name, "-c", "app", "-n", here, check=False).out.strip())
        equal("mode with the sidecar", modes["true"], modes["false"])
        equal("mode", modes["true"], "600")
