#!/usr/bin/env python3
"""Measures one operator with many objects on a real API server.

    scale.py [--pods 5000] [--buffers 200] [--rate 100] [--operator-namespace tracebuffer]

KUBECONFIG names a cluster in which the chart is installed with one replica, so that the measured
process handles every admission and every reconcile. A scheduling gate keeps the pods from running.
Prints a table in Markdown; exits with 1 if a target is missed.
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

NAMESPACES = 20
MAX_RESIDENT_MIB = 40
MAX_ADMISSION_P99_MS = 10
MAX_STATUS_SECONDS = 5
STEADY_SECONDS = 60
# Each pod is its own workload, so each gets an event; the operator writes at most 50 a second.
EVENTS_PER_SECOND = 50
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
        pods = api.call("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]
        running = [p["metadata"]["name"] for p in pods if p["status"]["phase"] == "Running"]
        if len(running) != 1:
            sys.exit(f"namespace {namespace} has {len(running)} running pods; scale the operator to one replica")
        self.api = api
        self.path = f"/api/v1/namespaces/{namespace}/pods/{running[0]}:9417/proxy/metrics"

    def metrics(self):
        return Metrics(self.api.call("GET", self.path))


class Metrics:
    def __init__(self, text):
        self.text = text

    def value(self, name):
        found = re.search(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", self.text, re.MULTILINE)
        if not found:
            sys.exit(f"the operator has no metric {name}")
        return float(found.group(1))

    def buckets(self, name):
        found = re.findall(rf'^{name}_bucket\{{.*?le="([^"]+)".*?\}} (\S+)$', self.text, re.M)
        return [(float(bound.replace("+Inf", "inf")), float(count)) for bound, count in found]


def quantile(before, after, q):
    """Returns the smallest bound of the histogram that covers the fraction `q` of the added values."""
    added = [(bound, count - old[1]) for (bound, count), old in zip(after, before)]
    total = added[-1][1]
    return next(bound for bound, count in added if count >= q * total), int(total)


def buffer(index):
    namespace = f"scale-{index % NAMESPACES}"
    return f"{GROUP}/namespaces/{namespace}/tracebuffers", {
        "apiVersion": "tracebuffer.dev/v1alpha1",
        "kind": "TraceBuffer",
        "metadata": {"name": f"buffer-{index // NAMESPACES}", "namespace": namespace},
        "spec": {"destination": {"endpoint": "http://collector.observability:4317"}},
    }


def pod(index, buffers):
    namespace = f"scale-{index % NAMESPACES}"
    name = f"buffer-{(index // NAMESPACES) % max(1, buffers // NAMESPACES)}"
    container = {
        "name": "app",
        "image": "localhost/pause:1",
        "env": [{"name": f"SETTING_{n}", "value": "x" * 40} for n in range(10)],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
    }
    return f"/api/v1/namespaces/{namespace}/pods", {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"app-{index}",
            "namespace": namespace,
            "labels": {"app": f"app-{index % 50}"},
            "annotations": {"tracebuffer.dev/inject": name},
        },
        "spec": {
            "schedulingGates": [{"name": "tracebuffer.dev/scale-test"}],
            "containers": [container],
        },
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


def status_times(api, pods, buffers):
    """Changes the endpoint of one TraceBuffer, then of all others at once; all their pods become outdated."""
    each = pods // buffers
    paths = [f"{path}/{body['metadata']['name']}" for path, body in map(buffer, range(buffers))]
    change = {"spec": {"destination": {"endpoint": "http://elsewhere.observability:4317"}}}
    one = seconds_until_true(api, paths[0], change, {"outdated": each, "total": each})
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        futures = [
            pool.submit(seconds_until_true, api, path, change, {"outdated": each, "total": each})
            for path in paths[1:]
        ]
        everyone = [future.result() for future in futures]
    return one, max(everyone)


def settle(pods):
    time.sleep(10 + pods / EVENTS_PER_SECOND)


def steady(operator):
    before = operator.metrics().value("process_cpu_seconds_total")
    time.sleep(STEADY_SECONDS)
    after = operator.metrics()
    cpu = (after.value("process_cpu_seconds_total") - before) / STEADY_SECONDS
    return cpu, after.value("process_resident_memory_bytes") / 2**20


def judged(what, value, unit, target):
    shown = f"{value:.1f} {unit}"
    return Result(what, shown, f"<= {target} {unit}", value > target)


def measure(api, operator, pods, buffers, rate):
    for index in range(NAMESPACES):
        name = {"metadata": {"name": f"scale-{index}"}}
        api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", **name})
    create_paced(api, map(buffer, range(buffers)), 50)
    time.sleep(5)
    before = operator.metrics().buckets("tracebuffer_admission_duration_seconds")
    took = create_paced(api, (pod(index, buffers) for index in range(pods)), rate)
    after = operator.metrics().buckets("tracebuffer_admission_duration_seconds")
    p50, _ = quantile(before, after, 0.5)
    p99, admissions = quantile(before, after, 0.99)
    busy = operator.metrics().value("process_resident_memory_bytes") / 2**20
    settle(pods)
    cpu, resident = steady(operator)
    one, all_of_them = status_times(api, pods, buffers)
    settle(pods)
    _, resident_after = steady(operator)
    return [
        Result("pods created", f"{pods} in {took:.0f} s ({pods / took:.0f}/s)"),
        Result("admissions", str(admissions), f">= {pods}", admissions < pods),
        Result("webhook p50, upper bound of its bucket", f"{p50 * 1e3:g} ms"),
        judged("webhook p99, upper bound of its bucket", p99 * 1e3, "ms", MAX_ADMISSION_P99_MS),
        judged("resident right after", busy, "MiB", MAX_RESIDENT_MIB),
        judged("resident when steady", resident, "MiB", MAX_RESIDENT_MIB),
        Result("CPU when steady", f"{cpu * 1e3:.1f} ms/s"),
        judged("true status after a change of one", one, "s", MAX_STATUS_SECONDS),
        judged(f"the same, {buffers - 1} changed at once", all_of_them, "s", MAX_STATUS_SECONDS),
        judged("resident after all of that", resident_after, "MiB", MAX_RESIDENT_MIB),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pods", type=int, default=5000)
    parser.add_argument("--buffers", type=int, default=200)
    parser.add_argument("--rate", type=int, default=100, help="pods created a second")
    parser.add_argument("--operator-namespace", default="tracebuffer")
    arguments = parser.parse_args()
    with proxied() as api:
        operator = Operator(api, arguments.operator_namespace)
        results = measure(api, operator, arguments.pods, arguments.buffers, arguments.rate)
    print("| what | measured | target |\n|---|---|---|")
    for result in results:
        target = f"MISSED: {result.target}" if result.missed else result.target
        print(f"| {result.what} | {result.measured} | {target} |")
    sys.exit(any(result.missed for result in results))


if __name__ == "__main__":
    main()
