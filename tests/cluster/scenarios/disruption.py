"""Operators that come and go while pods are created."""

import contextlib
import os
import signal
import time
from pathlib import Path

import operator_release as operator
from creating import Creating, bare
from kube import Namespace, delete, equal, eventually, get, kubectl
from parts import counts, ready_trace_buffer
from runner import scenario


@scenario("roll", "a rolling restart and a helm upgrade leave no pod without its sidecar")
def rolls():
    with Namespace("tb-roll") as here:
        ready_trace_buffer(here)
        with Creating(here) as creating:
            kubectl("rollout", "restart", f"deployment/{operator.NAME}", "-n", operator.NAMESPACE)
            kubectl("rollout", "status", f"deployment/{operator.NAME}", "-n", operator.NAMESPACE,
                    "--timeout=90s")
            operator.install("--set", "podAnnotations.example\\.com/upgraded=yes")
            time.sleep(12)  # the last old operator answers on for 10 s
        assert creating.created > 30, f"only {creating.created} pods were created"
        equal("pods without a sidecar", bare(here), [])


def kill(name):
    """Ends an operator without a signal that it could answer, as a lost node would."""
    uid = get("pod", name, operator.NAMESPACE)["metadata"]["uid"]
    delete("pod", name, operator.NAMESPACE, "--grace-period=0", "--force", "--wait=false")
    # On a node elsewhere the deletion alone must do; there it ends by a signal.
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"pod{uid}" in (process / "cgroup").read_text():
                os.kill(int(process.name), signal.SIGKILL)


@scenario("leader", "when the leader is killed another leads within 20 s, and reports every pod that came up bare")
def loses_its_leader():
    with Namespace("tb-leader") as here:
        ready_trace_buffer(here)
        first = eventually("somebody leads", operator.leader, 30)
        with Creating(here):
            kill(first)
            killed = time.monotonic()

            def another():
                now = operator.leader()
                return now if now and now != first else None
            eventually("another leads", another, 20, every=0.2)
            print(f"    another led after {time.monotonic() - killed:.1f} s")
        missing = len(bare(here))
        eventually("the bare pods are counted",
                   lambda: equal("missing", counts(here).get("missing", 0), missing) is None, 40)
    kubectl("rollout", "status", f"deployment/{operator.NAME}", "-n", operator.NAMESPACE, "--timeout=60s")
    assert get("lease", operator.NAME, operator.NAMESPACE)
