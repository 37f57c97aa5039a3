#!/usr/bin/env python3
"""Measures one operator with many objects on a real API server.

    scale.py [--pods 50000] [--owners 250] [--namespaces 2000] [--buffers 1000] [--paced 2000] [--rate 100]
             [--steady 60] [--p99 10]
             [--operator-namespace tracebuffer]

KUBECONFIG names a cluster in which the chart is installed with one replica, so that the measured
process handles every admission and every reconcile. `--paced` pods are created here at `--rate` a
second; the others by the controllers of as many Deployments as there are owners, as fast as they can.
A scheduling gate keeps all of them from running. Prints a table in Markdown; exits with 1 if a target
is missed.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

MAX_RESIDENT_MIB = 96
MAX_STATUS_SECONDS = 5
MAX_RESTART_SECONDS = 20
TEMPLATES = 50
GROUP = "/apis/tracebuffer.dev/v1alpha1"


class Api:
    """The API server, through `kubectl proxy`, which authenticates."""

    def __init__(self, address):
        self.address = address

    def call(self, method, path, body=None, content_type="application/json"):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.address + path, data, {"Content-Type": content_type}, method=method
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read().decode()
        return json.loads(text) if text.startswith("{") else text

    def create(self, path, body):
        with contextlib.suppress(AlreadyThere):
            try:
                return self.call("POST", path, body)
            except urllib.error.HTTPError as error:
                if error.code == 409:
                    raise AlreadyThere from error
                raise RuntimeError(f"{path}: {error.read().decode()}") from error
        return None

    def patch(self, path, body):
        return self.call("PATCH", path, body, "application/merge-patch+json")


class AlreadyThere(Exception):
    """The object exists."""


@contextlib.contextmanager
def proxied():
    proxy = subprocess.Popen(
        ["kubectl", "proxy", "--port=0"], stdout=subprocess.PIPE, text=True
    )
    try:
        line = proxy.stdout.readline()
        yield Api("http://" + re.search(r"127\.0\.0\.1:\d+", line).group())
    finally:
        proxy.terminate()
        proxy.wait()


class Operator:
    """The measured replica, through its metrics."""

    def __init__(self, api, namespace):
        self.api = api
        self.pods = f"/api/v1/namespaces/{namespace}/pods"
        running = [each for each in self.list() if is_ready(each)]
        if len(running) != 1:
            sys.exit(f"namespace {namespace} has {len(running)} ready pods; scale the operator to one replica")
        self.name = running[0]["metadata"]["name"]

    def list(self):
        selector = "labelSelector=app.kubernetes.io%2Fcomponent%3Doperator"
        return self.api.call("GET", f"{self.pods}?{selector}")["items"]

    def metrics(self):
        return Metrics(self.api.call("GET", f"{self.pods}/{self.name}:9417/proxy/metrics"))

    def resident_mib(self):
        return self.metrics().value("process_resident_memory_bytes") / 2**20

    def restart(self):
        """Replaces the pod; returns the seconds from its deletion until another is ready."""
        started = time.monotonic()
        self.api.call("DELETE", f"{self.pods}/{self.name}")
        while True:
            others = [each for each in self.list() if is_ready(each) and each["metadata"]["name"] != self.name]
            if others:
                self.name = others[0]["metadata"]["name"]
                return time.monotonic() - started
            if time.monotonic() - started > 120:
                sys.exit("the operator is not ready 120 s after a restart")
            time.sleep(0.2)


def is_ready(pod):
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


class Metrics:
    def __init__(self, text):
        self.text = text

    def value(self, name):
        found = re.search(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", self.text, re.MULTILINE)
        if not found:
            sys.exit(f"the operator has no metric {name}")
        return float(found.group(1))

    def total(self, name):
        return int(sum(float(value) for value in re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", self.text, re.M)))

    def buckets(self, name):
        found = re.findall(rf'^{name}_bucket\{{.*?le="([^"]+)".*?\}} (\S+)$', self.text, re.M)
        return [(float(bound.replace("+Inf", "inf")), float(count)) for bound, count in found]


def quantile(before, after, q):
    """Returns the smallest bound of the histogram that covers the fraction `q` of the added values."""
    added = [(bound, count - old[1]) for (bound, count), old in zip(after, before)]
    total = added[-1][1]
    return next(bound for bound, count in added if count >= q * total), int(total)


@dataclasses.dataclass
class Scale:
    pods: int
    owners: int
    namespaces: int
    buffers: int
    paced: int
    rate: int
    steady: int
    p99: int

    def replicas(self):
        """Returns the pods of one Deployment."""
        return (self.pods - self.paced) // self.owners

    def users(self, index):
        """Returns how many pods use the TraceBuffer of a namespace."""
        paced = self.paced // self.owners + (index < self.paced % self.owners)
        return paced + self.replicas() if index < self.owners else 0


def namespace(index):
    metadata = {"name": f"scale-{index}", "labels": {"tracebuffer.dev/scale-test": "true"}}
    return "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def buffer(index):
    return f"{GROUP}/namespaces/scale-{index}/tracebuffers", {
        "apiVersion": "tracebuffer.dev/v1alpha1",
        "kind": "TraceBuffer",
        "metadata": {"name": "buffer", "namespace": f"scale-{index}"},
        "spec": {"destination": {"endpoint": "http://collector.observability:4317"}},
    }


def template(name):
    """Returns the metadata and the spec of a pod that asks for a sidecar and is never scheduled."""
    container = {
        "name": "app",
        "image": "localhost/pause:1",
        "env": [{"name": f"SETTING_{n}", "value": "x" * 40} for n in range(10)],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
    }
    gates = [{"name": "tracebuffer.dev/scale-test"}]
    return {
        "metadata": {"labels": {"app": name}, "annotations": {"tracebuffer.dev/inject": "buffer"}},
        "spec": {"schedulingGates": gates, "containers": [container]},
    }


def paced_pod(index, owners):
    namespace = f"scale-{index % owners}"
    pod = template(f"paced-{index % TEMPLATES}")
    pod["metadata"].update(name=f"paced-{index}", namespace=namespace)
    return f"/api/v1/namespaces/{namespace}/pods", {"apiVersion": "v1", "kind": "Pod", **pod}


def deployment(index, replicas):
    return f"/apis/apps/v1/namespaces/scale-{index}/deployments", {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "app", "namespace": f"scale-{index}"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "app"}}, "template": template("app")},
    }


def create_paced(api, objects, rate):
    """Creates `objects` at `rate` a second, open loop, and returns the seconds it took."""
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        running = []
        for index, (path, body) in enumerate(objects):
            ahead = started + index / rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            running.append(pool.submit(api.create, path, body))
            if index % 500 == 499:
                print(f"  {index + 1} created", file=sys.stderr, flush=True)
        for each in running:
            each.result()
    return time.monotonic() - started


@dataclasses.dataclass
class Result:
    what: str
    measured: str
    target: str = ""
    missed: bool = False


def status_true(status, generation, counts):
    return status.get("observedGeneration") == generation and all(
        status.get("pods", {}).get(key) == value for key, value in counts.items()
    )


def seconds_until_true(api, path, change, counts):
    changed = api.patch(path, change)
    generation = changed["metadata"]["generation"]
    started = time.monotonic()
    while time.monotonic() - started < 60:
        status = api.call("GET", path).get("status", {})
        if status_true(status, generation, counts):
            return time.monotonic() - started
        time.sleep(0.05)
    sys.exit(f"{path}: not true after 60 s: {status}")


def change_of(endpoint):
    return {"spec": {"destination": {"endpoint": f"http://{endpoint}.observability:4317"}}}


def outdated(scale, index):
    """Returns the counts after a change. Pods that an overloaded API server created alone are missing."""
    return {"total": scale.users(index), "current": 0}


def status_times(api, scale):
    """Changes the endpoint of one TraceBuffer, then of all others at once; all their pods become outdated."""
    paths = [f"{path}/{body['metadata']['name']}" for path, body in map(buffer, range(scale.buffers))]
    change = change_of("elsewhere")
    one = seconds_until_true(api, paths[0], change, outdated(scale, 0))
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        futures = [
            pool.submit(seconds_until_true, api, path, change, outdated(scale, index))
            for index, path in enumerate(paths) if index
        ]
        everyone = [future.result() for future in futures]
    return one, max(everyone)


def await_pods(api, scale, operator):
    """Waits until the operator has admitted all pods of the Deployments; returns the seconds it took."""
    started = time.monotonic()
    shown = 0
    while True:
        ready = sum(
            api.call("GET", f"/apis/apps/v1/namespaces/scale-{index}/deployments/app")
            .get("status", {}).get("replicas", 0) for index in range(scale.owners)
        )
        if ready == scale.replicas() * scale.owners:
            return time.monotonic() - started
        if ready - shown >= 5000:
            shown = ready
            print(f"  {ready} created by controllers", file=sys.stderr, flush=True)
        time.sleep(2)


def settle():
    time.sleep(15)


def steady(operator, seconds):
    """Returns the CPU seconds per second, and the memory in MiB, while nothing changes."""
    before = operator.metrics().value("process_cpu_seconds_total")
    time.sleep(seconds)
    after = operator.metrics().value("process_cpu_seconds_total")
    return (after - before) / seconds, operator.resident_mib()


def judged(what, value, unit, target):
    shown = f"{value:.1f} {unit}"
    return Result(what, shown, f"<= {target} {unit}", value > target)


def memory(what, mib):
    return judged(f"resident {what}", mib, "MiB", MAX_RESIDENT_MIB)


def admissions(api, operator, scale):
    """Creates the paced pods, and returns the results about their admission."""
    before = operator.metrics().buckets("tracebuffer_admission_duration_seconds")
    took = create_paced(api, (paced_pod(index, scale.owners) for index in range(scale.paced)), scale.rate)
    after = operator.metrics().buckets("tracebuffer_admission_duration_seconds")
    p50, _ = quantile(before, after, 0.5)
    p99, count = quantile(before, after, 0.99)
    return [
        Result("pods created at a set rate", f"{scale.paced} in {took:.0f} s ({scale.paced / took:.0f}/s)"),
        Result("admissions", str(count), f">= {scale.paced}", count < scale.paced),
        Result("webhook p50, upper bound of its bucket", f"{p50 * 1e3:g} ms"),
        judged("webhook p99, upper bound of its bucket", p99 * 1e3, "ms", scale.p99),
    ]


def measure(api, operator, scale):
    create_paced(api, map(namespace, range(scale.namespaces)), 200)
    create_paced(api, map(buffer, range(scale.buffers)), 100)
    settle()
    results = admissions(api, operator, scale)
    create_paced(api, (deployment(index, scale.replicas()) for index in range(scale.owners)), 10)
    took = await_pods(api, scale, operator)
    bulk = scale.replicas() * scale.owners
    results.append(Result("pods created by controllers", f"{bulk} in {took:.0f} s ({bulk / max(took, 1):.0f}/s)"))
    results.append(memory("right after", operator.resident_mib()))
    settle()
    missing = operator.metrics().total("tracebuffer_uninjected_pods")
    results.append(Result("pods for which the API server did not wait for the webhook", str(missing)))
    cpu, resident = steady(operator, scale.steady)
    results += [memory("when steady", resident), Result("CPU when steady", f"{cpu * 1e3:.1f} ms/s")]
    one, all_of_them = status_times(api, scale)
    results += [
        judged("true status after a change of one", one, "s", MAX_STATUS_SECONDS),
        Result(f"the same, {scale.buffers - 1} changed at once", f"{all_of_them:.1f} s"),
        memory("after all of that", operator.resident_mib()),
        judged("restart until ready", operator.restart(), "s", MAX_RESTART_SECONDS),
    ]
    path = f"{GROUP}/namespaces/scale-0/tracebuffers/buffer"
    after_restart = seconds_until_true(api, path, change_of("third"), outdated(scale, 0))
    results.append(judged("true status after a change then", after_restart, "s", MAX_RESTART_SECONDS))
    settle()
    results.append(memory("after the restart", operator.resident_mib()))
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pods", type=int, default=50_000)
    parser.add_argument("--owners", type=int, default=250, help="Deployments, at most as many as TraceBuffers")
    parser.add_argument("--namespaces", type=int, default=2_000)
    parser.add_argument("--buffers", type=int, default=1_000, help="TraceBuffers, each in a namespace of its own")
    parser.add_argument("--paced", type=int, default=2_000, help="pods that are created at --rate")
    parser.add_argument("--rate", type=int, default=100, help="pods a second")
    parser.add_argument("--steady", type=int, default=60, help="seconds for which the idle operator is measured")
    parser.add_argument("--p99", type=int, default=10, help="target for admissions, in ms")
    parser.add_argument("--operator-namespace", default="tracebuffer")
    arguments = vars(parser.parse_args())
    operator_namespace = arguments.pop("operator_namespace")
    with proxied() as api:
        results = measure(api, Operator(api, operator_namespace), Scale(**arguments))
    print("| what | measured | target |\n|---|---|---|")
    for result in results:
        target = f"MISSED: {result.target}" if result.missed else result.target
        print(f"| {result.what} | {result.measured} | {target} |")
    sys.exit(any(result.missed for result in results))


if __name__ == "__main__":
    main()
