"""Delivery of spans, also with an unavailable destination."""

import subprocess
import threading

from kube import (
    Failed, Namespace, apply, delete, equal, eventually, get, kubectl, list_all, metrics, total,
)
from parts import (
    adds_up, arrived, arrived_of, collector, container, deployment, is_injected, ledger, only_pod,
    pod, ready_trace_buffer, rolled_out, sending,
)
from runner import scenario


@scenario("delivery", "in a restricted namespace every span that an annotated Deployment sends to localhost arrives")
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
        equal("the sidecar's ledger", (books["accepted"], books["sent"], books["buffered"]), (1000, 1000, 0))


@scenario("outage", "after an outage the destination gets the newest spans, which the buffer kept; the ledger adds up")
def outlives_an_outage():
    with Namespace("tb-outage") as here:
        ready_trace_buffer(here, endpoint=collector(here), buffer={"maxSpans": 200})
        kubectl("scale", "deployment/collector", "--replicas=0", "-n", here)
        eventually("the Collector is gone", lambda: not list_all("pods", here, "app=collector"))
        first = sending(200, "old", then=sending(200, "new"))
        apply(deployment("shop", container(command=first)), namespace=here)
        rolled_out(here, "shop")
        name = only_pod(here, "shop")["metadata"]["name"]

        books = eventually("all spans were sent to the sidecar",
                           lambda: (b := ledger(here, name))["accepted"] == 800 and b)
        equal("dropped", books["dropped"], 600)
        assert adds_up(books), f"the ledger does not add up: {books}"
        kubectl("scale", "deployment/collector", "--replicas=1", "-n", here)
        rolled_out(here, "collector")

        eventually("the buffered spans arrive", lambda: arrived(here) == 200, 60)
        eventually("the newest spans arrive", lambda: arrived_of(here, "new") == 200, 10)
        equal("old spans", arrived_of(here, "old"), 0)
        books = eventually("all spans are sent",
                           lambda: (b := ledger(here, name))["sent"] == 200 and b)
        assert adds_up(books), f"the ledger does not add up: {books}"


@scenario("drain", "a pod that is deleted delivers the spans that its sidecar has acknowledged and not yet sent")
def drains():
    with Namespace("tb-drain") as here:
        waiting = {"batch": {"linger": "1m"}}
        ready_trace_buffer(here, endpoint=collector(here), destination=waiting)
        apply(pod("shop", container(command=sending(500))), namespace=here)
        books = eventually("all spans are acknowledged",
                           lambda: (b := ledger(here, "shop"))["accepted"] == 1000 and b)
        equal("waiting", books["buffered"], 1000)

        delete("pod", "shop", here, "--wait=true", "--timeout=60s")

        eventually("all spans arrive", lambda: equal("arrived", arrived(here), 1000) is None, 10)


@scenario("drain-load", "a pod that is deleted while it sends loses nothing")
def drains_under_load():
    with Namespace("tb-drain-load") as here:
        ready_trace_buffer(here, endpoint=collector(here))
        load = "/telemetrygen traces --otlp-insecure --duration inf --workers 2 --rate 500 --service shop"
        apply(pod("shop", container(command=load)), namespace=here)
        eventually("spans flow", lambda: arrived(here) > 500)
        log = follow(here, "shop")

        delete("pod", "shop", here, "--wait=false")
        seen = last_accepted(here, "shop")

        text = log()
        assert "nothing was lost" in text, f"the end of the sidecar's log: {text[-600:]}"
        eventually("the accepted spans arrive", lambda: arrived(here) >= seen, 10)


def last_accepted(namespace, name):
    """Reads how many spans a sidecar has accepted until it ends; returns the last number."""
    seen = 0
    while True:
        try:
            seen = ledger(namespace, name)["accepted"]
        except Failed:
            return seen


def follow(namespace, name):
    """Follows the sidecar's log; returns a function that waits for its end and returns the text."""
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


@scenario("limits", "a changed limit reaches a running sidecar without a restart")
def follows_limits():
    with Namespace("tb-limits") as here:
        ready_trace_buffer(here, buffer={"maxSpans": 1000})
        apply(pod("shop"), namespace=here)

        def capacity():
            return total(metrics("shop", here, 9417), "tracebuffer_buffer_capacity_spans")

        eventually("the sidecar runs", lambda: equal("spans", capacity(), 1000) is None)

        ready_trace_buffer(here, buffer={"maxSpans": 700})

        eventually("the new limit is applied", lambda: equal("spans", capacity(), 700) is None, 90)
        status = get("pod", "shop", here)["status"]
        equal("restarts", [c["restartCount"] for c in status["initContainerStatuses"]], [0])
        assert is_injected(get("pod", "shop", here))
