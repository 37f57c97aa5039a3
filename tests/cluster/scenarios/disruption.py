"""Restarts and loss of operators while pods are created."""

import contextlib
import os
import signal
import time

import operator_release as operator
from creating import Creating, without_sidecar
from kube import Namespace, delete, equal, eventually, get, kubectl
from parts import counts, processes, ready_trace_buffer
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
            time.sleep(12)  # an operator serves for 10 s after SIGTERM
        assert creating.created > 30, f"only {creating.created} pods were created"
        equal("pods without a sidecar", without_sidecar(here), [])


def kill(name):
    """Kills an operator without SIGTERM, like the loss of a node."""
    one = get("pod", name, operator.NAMESPACE)
    delete("pod", name, operator.NAMESPACE, "--grace-period=0", "--force", "--wait=false")
    # For processes of a remote node this does nothing; the kubelet then sends them a signal.
    for process in processes(one):
        with contextlib.suppress(OSError):
            os.kill(int(process.name), signal.SIGKILL)


@scenario("leader", "when the leader is killed another replica leads within 20 s, and reports every missing sidecar")
def loses_its_leader():
    with Namespace("tb-leader") as here:
        ready_trace_buffer(here)
        first = eventually("there is a leader", operator.leader, 30)
        with Creating(here):
            kill(first)
            killed = time.monotonic()

            def another():
                now = operator.leader()
                return now if now and now != first else None
            eventually("another replica leads", another, 20, every=0.2)
            print(f"    another replica led after {time.monotonic() - killed:.1f} s")
        missing = len(without_sidecar(here))
        eventually("missing sidecars are counted",
                   lambda: equal("missing", counts(here).get("missing", 0), missing) is None, 40)
    kubectl("rollout", "status", f"deployment/{operator.NAME}", "-n", operator.NAMESPACE, "--timeout=60s")
    assert get("lease", operator.NAME, operator.NAMESPACE)
