"""Many pods. tests/cluster/scale.py measures five times as many."""

import subprocess
import sys
from pathlib import Path

import operator_release as operator
from kube import kubectl
from runner import scenario

SCALE = Path(__file__).resolve().parents[1] / "scale.py"
# The node shares two processors with everything else here, so admissions get more time than on an idle one.
SIZE = {"pods": 10_000, "owners": 100, "namespaces": 400, "buffers": 200, "paced": 1000, "steady": 20, "p99": 50}


@scenario("many", "one operator stays small and prompt with ten thousand pods")
def handles_many():
    operator.install("--set", "replicaCount=1")
    try:
        words = [word for name, number in SIZE.items() for word in (f"--{name}", str(number))]
        measured = subprocess.run([sys.executable, SCALE, *words], text=True, check=False, timeout=900,
                                  stdout=subprocess.PIPE)
        print(measured.stdout)
        assert measured.returncode == 0, "a target is missed"
    finally:
        kubectl("delete", "namespaces", "-l", "tracebuffer.dev/scale-test", "--wait=false", check=False)
        operator.install()
