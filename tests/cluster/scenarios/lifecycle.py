"""Start and termination of pods: a sidecar delays neither for long."""

import json
import time

from kube import Namespace, apply, delete, equal, eventually, get, kubectl, tracebuffer
from parts import container, is_injected, job, ledger, pod, ready_trace_buffer, sending
from runner import scenario
from scenarios.delivery import follow

PODS = 5
# Seconds that the sidecar may add to the start of a pod, and for which an application may find it not ready. The node
# shares two processors with everything else here, so these are far above what is measured on an idle one.
MAX_DELAY, MAX_GAP = 1.0, 0.5
# The uptime of the machine when the application runs, and when the sidecar answers it.
ASK = "until wget -q -O /dev/null http://127.0.0.1:9417/ready; do :; done"
REPORT = f"""
cut -d' ' -f1 /proc/uptime
{ASK}
cut -d' ' -f1 /proc/uptime
sleep 1d
"""


@scenario("start", "an application starts hardly later with the sidecar than without it, and finds the sidecar ready")
def starts():
    with Namespace("tb-start") as here:
        ready_trace_buffer(here)
        starting = {inject: [start(here, f"{word}-{n}", inject) for n in range(PODS)]
                    for inject, word in (("false", "bare"), ("true", "injected"))}
        bare = median(began for began, _ in starting["false"])
        injected = median(began for began, _ in starting["true"])
        gap = max(gap for _, gap in starting["true"])
        print(f"    application after {bare:.2f} s without and {injected:.2f} s with the sidecar (medians of "
              f"{PODS}); the sidecar answers at most {gap * 1000:.0f} ms later")
        assert injected - bare <= MAX_DELAY, f"the sidecar delays the application by {injected - bare:.2f} s"
        assert gap <= MAX_GAP, f"the application waits for the sidecar for {gap:.2f} s"


def start(namespace, name, inject):
    """Creates a pod; returns the seconds until its application runs, and from then until the sidecar answers."""
    command = REPORT if inject == "true" else REPORT.replace(ASK, "")
    created = uptime()
    apply(pod(name, container(command=command), inject=inject, terminationGracePeriodSeconds=1),
          namespace=namespace)
    text = eventually("the application reports",
                      lambda: len(t := kubectl("logs", name, "-c", "app", "-n", namespace).out.split()) == 2 and t)
    began, connected = map(float, text)
    delete("pod", name, namespace, "--wait=false")
    return began - created, connected - began


def uptime():
    with open("/proc/uptime", encoding="ascii") as file:
        return float(file.read().split()[0])


def median(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


@scenario("dead-end", "if the destination is away, a pod ends a few seconds later than alone, and its sidecar tells the loss before it is killed")
def ends():
    with Namespace("tb-dead-end") as here:
        ready_trace_buffer(here, endpoint="http://nowhere.invalid:4317")
        # The grace periods are longer and shorter than the drainTimeout of 25 s; the last application uses up its own.
        for name, grace, longest, on_stop in (
            ("patient", 40, 15, "exit 0"), ("brief", 5, 8, "exit 0"), ("stubborn", 5, 15, ""),
        ):
            command = f"trap '{on_stop}' TERM; " + sending(50, then="sleep 1d & wait; wait; sleep 1d")
            apply(pod(name, container(command=command), terminationGracePeriodSeconds=grace), namespace=here)
            assert is_injected(get("pod", name, here))
            eventually("the spans are buffered", lambda: ledger(here, name)["buffered"] == 100)
            log = follow(here, name)

            began = time.monotonic()
            delete("pod", name, here, "--wait=true", "--timeout=60s")
            took = time.monotonic() - began

            text = log()
            print(f"    with a grace period of {grace} s the pod ended after {took:.1f} s")
            assert "100 spans were lost" in text, f"the loss is not told: {text[-600:]}"
            assert took < longest, f"the pod took {took:.1f} s to end"


@scenario("dead-end-job", "if the destination is away, a Job completes a few seconds later than alone")
def job_completes():
    with Namespace("tb-dead-end-job") as here:
        ready_trace_buffer(here, endpoint="http://nowhere.invalid:4317")
        apply(job("import", sending(50, then="true")), namespace=here)

        kubectl("wait", "--for=condition=complete", "job/import", "-n", here, "--timeout=60s")

        one = kubectl("get", "pods", "-l", "app=import", "-n", here, "-o", "name").out.strip().removeprefix("pod/")
        status = get("pod", one, here)["status"]
        ended = status["containerStatuses"][0]["state"]["terminated"]["finishedAt"]
        (sidecar,) = [each for each in status["initContainerStatuses"] if each["name"] == "tracebuffer"]
        finished = sidecar["state"]["terminated"]
        seconds = parsed(finished["finishedAt"]) - parsed(ended)
        assert seconds <= 8, f"the Job completed {seconds:.0f} s after its application"
        equal("message", json.loads(finished["message"]), {"received": 100, "delivered": 0, "lost": {"shutdown": 100}})
        equal("exit code", finished["exitCode"], 0)


@scenario("address-in-use", "`explain pod` tells why a container ends that listens on a port of the sidecar without declaring it")
def explains_a_port_in_use():
    with Namespace("tb-address-in-use") as here:
        ready_trace_buffer(here)
        apply(pod("own", container("listener", "nc -l -p 4317")), namespace=here)
        assert is_injected(get("pod", "own", here))

        def explained():
            answer = tracebuffer("explain", "pod", "own", "-n", here, check=False).out
            return "a port is in use" in answer and answer

        answer = eventually("explain pod finds it in the log", explained)
        assert "4317, 4318 and 9417" in answer, answer


def parsed(stamp):
    return time.mktime(time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ"))
