"""The resource with kubectl, Helm and its schema."""

import re
import tempfile
import time
from pathlib import Path

import operator_release as operator
from kube import Failed, Namespace, apply, equal, get, helm, kubectl
from parts import condition, ready_trace_buffer
from runner import scenario

HERE = Path(__file__).resolve().parent.parent
EXAMPLES = HERE.parent.parent / "docs" / "examples"
SMALL_CHART = "apiVersion: v2\nname: small\nversion: 0.1.0\n"


@scenario("refusals", "the API server refuses every file of bad/ and names the field")
def schema_refuses():
    with Namespace("tb-refusals") as here:
        for file in sorted((HERE / "bad").glob("*.yaml")):
            said = file.read_text().splitlines()[0]
            (field,) = re.findall(r"(?:spec|metadata)[.\w\[\]-]*", said)[:1]
            answer = kubectl("apply", "-n", here, "--dry-run=server", "-f", file, check=False)
            assert answer.code != 0, f"{file.name} was accepted"
            assert field in answer.err, f"{file.name}: {field} is not named: {answer.err}"


@scenario("apply", "applying a TraceBuffer again changes nothing, by any manager, on the server or on the client")
def applies_without_drift():
    with Namespace("tb-apply") as here:
        for file in sorted(EXAMPLES.glob("*.yaml")):
            folder = tempfile.mkdtemp()
            path = Path(folder) / "tb.yaml"
            path.write_text(re.sub(r"(?m)^  namespace: .*\n", "", file.read_text()))
            name = re.search(r"(?m)^  name: (\S+)", path.read_text()).group(1)
            place = ["-n", here, "-f", path]
            for manager in ("one", "two"):
                kubectl("apply", "--server-side", f"--field-manager={manager}", *place)
            for manager in ("one", "two"):
                drift = kubectl("diff", "--server-side", f"--field-manager={manager}", *place, check=False)
                equal(f"{file.name}: drift for {manager}", (drift.code, drift.out), (0, ""))
            equal(f"{file.name}: generation", get("tracebuffer", name, here)["metadata"]["generation"], 1)
            kubectl("delete", *place)
            kubectl("apply", *place)
            again = kubectl("apply", *place)
            assert "unchanged" in again.out, f"{file.name}: {again.out}"
        explained = kubectl("explain", "tracebuffer.spec.destination.headers.valueFrom").out
        explained = " ".join(explained.split())
        assert "serviceAccountToken" in explained and "Exactly one field must be set" in explained, explained


@scenario("wait", "helm --wait succeeds for a valid TraceBuffer, and fails immediately for an invalid one")
def is_waited_for():
    with Namespace("tb-wait") as here, tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "templates").mkdir()
        (Path(folder) / "Chart.yaml").write_text(SMALL_CHART)

        def install(endpoint):
            (Path(folder) / "templates" / "tb.yaml").write_text(
                "apiVersion: tracebuffer.dev/v1alpha1\nkind: TraceBuffer\nmetadata: {name: small}\n"
                f"spec: {{destination: {{endpoint: '{endpoint}'}}}}\n")
            started = time.monotonic()
            answer = helm("upgrade", "--install", "small", folder, "-n", here, "--wait", "--timeout", "60s",
                          check=False)
            return answer, time.monotonic() - started

        answer, _ = install("http://collector:4317")
        equal("helm", (answer.code, condition(here, "small", "Ready")), (0, "True"))
        # The schema accepts a loopback address; the operator does not.
        answer, took = install("http://127.0.0.1:4317")
        assert answer.code != 0 and took < 30, f"an invalid spec took {took:.0f} s: {answer.out}{answer.err}"
        equal("Stalled", condition(here, "small", "Stalled"), "True")
        answer, _ = install("http://collector:4318")
        equal("helm again", (answer.code, condition(here, "small", "Ready")), (0, "True"))
        equal("no longer Stalled", condition(here, "small", "Stalled"), None)


@scenario("pending", "a TraceBuffer that no operator has seen is Pending, and kubectl wait waits for it")
def is_pending_without_operator():
    with Namespace("tb-pending") as here:
        ready_trace_buffer(here, "seen")
        try:
            operator.scale(0)
            apply({
                "apiVersion": "tracebuffer.dev/v1alpha1", "kind": "TraceBuffer", "metadata": {"name": "new"},
                "spec": {"destination": {"endpoint": "http://collector:4317"}},
            }, namespace=here)
            found = {each["type"]: (each["status"], each["reason"])
                     for each in get("tracebuffer", "new", here)["status"]["conditions"]}
            equal("conditions", found, dict.fromkeys(("Accepted", "ResolvedRefs", "Ready"), ("Unknown", "Pending")))
            try:
                kubectl("wait", "tracebuffer/new", "-n", here, "--for=condition=Ready", "--timeout=2s")
                raise AssertionError("the TraceBuffer is ready")
            except Failed:
                pass
        finally:
            operator.scale(2)
        kubectl("wait", "tracebuffer/new", "-n", here, "--for=condition=Ready", "--timeout=60s")
