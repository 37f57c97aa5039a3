"""kubectl, helm and the command line of tracebuffer, and assertions that wait."""

import json
import os
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "tracebuffer"
BINARY = os.environ.get("TRACEBUFFER_BIN", "tracebuffer")


class Failed(Exception):
    """A command ended with an exit code other than 0."""


class Output:
    """Output and exit code of a command."""

    def __init__(self, out, err, code=0):
        self.out, self.err, self.code = out, err, code

    @property
    def warnings(self):
        """Lists the API server's warnings that kubectl has printed."""
        lines = self.err.splitlines()
        return [line.removeprefix("Warning: ") for line in lines if line.startswith("Warning: ")]


def run(*command, stdin=None, timeout=120, check=True):
    """Runs a command and waits for its end."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
    )
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(words)}: exit code {done.returncode}\n{done.stderr}{done.stdout}")
    return Output(done.stdout, done.stderr, done.returncode)


def kubectl(*words, **options):
    return run("kubectl", *words, **options)


def helm(*words, **options):
    return run("helm", *words, **options)


def tracebuffer(*words, **options):
    return run(BINARY, *words, **options)


def apply(*objects, namespace=None):
    """Creates or changes objects; the output has the API server's warnings."""
    where = ["-n", namespace] if namespace else []
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    return kubectl("apply", *where, "-f", "-", stdin=text)


def get(kind, name, namespace=None):
    """Returns an object, or None if it does not exist."""
    where = ["-n", namespace] if namespace else []
    text = kubectl("get", kind, name, *where, "-o", "json", "--ignore-not-found").out
    return json.loads(text) if text.strip() else None


def list_all(kind, namespace=None, selector=None):
    """Lists the objects of a kind, in one namespace or in all."""
    where = ["-n", namespace] if namespace else ["-A"]
    chosen = ["-l", selector] if selector else []
    return json.loads(kubectl("get", kind, *where, *chosen, "-o", "json").out)["items"]


def delete(kind, name, namespace=None, *flags):
    where = ["-n", namespace] if namespace else []
    kubectl("delete", kind, name, *where, "--ignore-not-found", *flags)


def eventually(what, probe, timeout=60, every=0.3):
    """Waits until `probe` returns a true value, and returns it.

    An AssertionError in `probe` counts as not yet true; after the timeout, the last one is shown.
    """
    deadline = time.monotonic() + timeout
    last = "nothing"
    while True:
        try:
            found = probe()
            if found:
                return found
            last = repr(found)
        except (AssertionError, Failed) as error:
            last = str(error)
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout} s; last seen: {last}")
        time.sleep(every)


def equal(what, found, wanted):
    assert found == wanted, f"{what}: {found!r}, wanted {wanted!r}"


def metrics(pod, namespace, port):
    """Reads the metrics of a pod through the API server: {(name, labels as a frozenset): value}."""
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/metrics"
    samples = {}
    for line in kubectl("get", "--raw", path).out.splitlines():
        if not line or line.startswith("#"):
            continue
        series, value = line.rsplit(" ", 1)
        name, _, rest = series.partition("{")
        labels = rest.rstrip("}").split(",") if rest else []
        pairs = (label.partition("=")[::2] for label in labels if "=" in label)
        samples[name, frozenset((key, text.strip('"')) for key, text in pairs)] = float(value)
    return samples


def total(samples, name, **labels):
    """Sums the series of a metric that have these labels."""
    wanted = set(labels.items())
    return sum(value for (each, has), value in samples.items() if each == name and wanted <= has)


class Namespace:
    """A namespace for the time of a scenario."""

    def __init__(self, name, restricted=True, labels=None):
        self.name = name
        self.labels = dict(labels or {})
        if restricted:
            self.labels["pod-security.kubernetes.io/enforce"] = "restricted"

    def __enter__(self):
        # A namespace of an earlier run may still be terminating.
        delete("namespace", self.name, None, "--wait=true", "--timeout=90s")
        apply({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": self.name, "labels": self.labels},
        })
        eventually(
            "a service account", lambda: get("serviceaccount", "default", self.name), every=0.1
        )
        return self.name

    def __exit__(self, kind, error, trace):
        if kind is not None:
            show(self.name)
        delete("namespace", self.name, None, "--wait=false")
        if kind is None:
            kubectl("delete", "pods", "--all", "-n", self.name, "--grace-period=1", "--wait=false",
                    check=False)


def show(namespace):
    """Prints details about a failure."""
    print(f"--- namespace {namespace}")
    for words in (
        ["get", "pods,tracebuffers,deployments", "-o", "wide"],
        ["get", "events", "--sort-by=.metadata.creationTimestamp"],
        ["get", "tracebuffers", "-o", "yaml"],
    ):
        answer = kubectl(*words, "-n", namespace, check=False)
        print("\n".join((answer.out + answer.err).splitlines()[-60:]))
    pods = kubectl("get", "pods", "-n", namespace, "-o", "name", check=False).out.split()
    for pod in pods[:6]:
        answer = kubectl("logs", "-n", namespace, pod, "--all-containers", "--prefix", "--tail=25",
                         check=False)
        print(answer.out + answer.err)
