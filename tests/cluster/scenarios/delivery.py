"""Spans on their way, with a destination that comes and goes."""

import threading
import subprocess

from kube import Namespace, apply, delete, equal, eventually, get, kubectl
from parts import (
    adds_up, arrived, arrived_of, collector, container, deployment, is_injected, ledger, only_pod,
    pod, ready_trace_buffer, rolled_out, sending,
)
from runner import scenario


@scenario("delivery", "in a restricted namespace every span an annotated Deployment sends to localhost arrives")
def delivers():
    with Namespace("tb-observability") as there, Namespace("tb-shop") as here:
        ready_trace_buffer(here, endpoint=collector(there))
        apply(deployment("shop", container(command=sending(500))), namespace=here)
        rolled_out(here, "shop")
        one = only_pod(here, "shop")
        sidecar = one["spec"]["initContainers"][0]
        equal("the first init container", sidecar["name"], "tracebuffer")
        equal("its restart policy", sidecar["restartPolicy"], "Always")
        eventually("every span arrives", lambda: equal("arrived", arrived(there), 1000) is None, 30)
        books = ledger(here, one["metadata"]["name"])
        equal("the sidecar's books", (books["accepted"], books["sent"], books["buffered"]), (1000, 1000, 0))


@scenario("outage", "a destination that was away gets what the buffer held, the newest; the ledger adds up")
def outlives_an_outage():
    with Namespace("tb-outage") as here:
        ready_trace_buffer(here, endpoint=collector(here), buffer={"maxSpans": 200})
        kubectl("scale", "deployment/collector", "--replicas=0", "-n", here)
        eventually("the Collector is gone", lambda: not get_pods(here, "collector"))
        first = sending(200, "old", then=sending(200, "new"))
        apply(deployment("shop", container(command=first)), namespace=here)
        rolled_out(here, "shop")
        name = only_pod(here, "shop")["metadata"]["name"]

        books = eventually("everything was sent to the sidecar",
                           lambda: (b := ledger(here, name))["accepted"] == 800 and b)
        equal("dropped", books["dropped"], 600)
        assert adds_up(books), f"the ledger does not add up: {books}"
        kubectl("scale", "deployment/collector", "--replicas=1", "-n", here)
        rolled_out(here, "collector")

        eventually("what was buffered arrives", lambda: arrived(here) == 200, 60)
        eventually("the newest", lambda: arrived_of(here, "new") == 200, 10)
        equal("old spans", arrived_of(here, "old"), 0)
        books = eventually("the books are closed",
                           lambda: (b := ledger(here, name))["sent"] == 200 and b)
        assert adds_up(books), f"the ledger does not add up: {books}"


def get_pods(namespace, app):
    from kube import list_all

    return list_all("pods", namespace, f"app={app}")


@scenario("drain", "a pod deleted under load delivers all that its sidecar acknowledged")
def drains():
    with Namespace("tb-drain") as here:
        ready_trace_buffer(here, endpoint=collector(here))
        load = "/telemetrygen traces --otlp-insecure --duration inf --workers 2 --rate 300 --service shop"
        apply(pod("shop", container(command=load)), namespace=here)
        eventually("spans flow", lambda: arrived(here) > 200)

        log = follow(here, "shop")
        delete("pod", "shop", here, "--wait=true", "--timeout=60s")

        text = log()
        assert "nothing was lost" in text, f"the sidecar's last words: {text[-600:]}"
        accepted = last_number(text, "accepted_spans")
        if accepted is not None:
            eventually("all of them are there", lambda: equal("arrived", arrived(here), accepted) is None, 10)


def follow(namespace, name):
    """Follows the sidecar's log; the answer waits for its end and returns it."""
    process = subprocess.Popen(
        ["kubectl", "logs", "-f", name, "-c", "tracebuffer", "-n", namespace],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
    reader.start()

    def ended():
        reader.join(30)
        process.kill()
        return "".join(lines)

    return ended


def last_number(text, field):
    """Returns the last number that a log's field had."""
    parts = text.split(f"{field}=")
    digits = parts[-1].split()[0].strip('"') if len(parts) > 1 else ""
    return int(digits) if digits.isdigit() else None


@scenario("limits", "a changed limit reaches a running sidecar without a restart")
def follows_limits():
    from kube import metrics, total

    with Namespace("tb-limits") as here:
        ready_trace_buffer(here, buffer={"maxSpans": 1000})
        apply(pod("shop"), namespace=here)
        def capacity():
            return total(metrics("shop", here, 9417), "tracebuffer_buffer_capacity_spans")
        eventually("the sidecar runs", lambda: equal("spans", capacity(), 1000) is None)

        ready_trace_buffer(here, buffer={"maxSpans": 700})

        eventually("the new limit is followed", lambda: equal("spans", capacity(), 700) is None, 90)
        status = get("pod", "shop", here)["status"]
        equal("restarts", [c["restartCount"] for c in status["initContainerStatuses"]], [0])
        assert is_injected(get("pod", "shop", here))
