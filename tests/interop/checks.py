"""Checks that tracebuffer interoperates with the OpenTelemetry SDK and Collector."""

import argparse
import contextlib
import itertools
import sys
import tempfile
import threading
import time
from collections import Counter

from processes import Collector, Receiver
from sending import EXPORTERS, Sender, exporter, together
from sink import Sink

FORWARDING = list(itertools.product(("grpc", "http"), ("none", "gzip", "zstd")))


class Report:
    """Prints and counts the checks."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, sentence, problem):
        """Records one check: `problem` describes the failure, or is empty."""
        self.passed, self.failed = self.passed + (not problem), self.failed + bool(problem)
        print(f"FAILED  {sentence}: {problem}" if problem else f"ok      {sentence}")


class Setup:
    """Shared by all checks: one sink, one Collector, and the receiver's binary."""

    def __init__(self, binary, collector, folder):
        self.report = Report()
        self.sink = Sink()
        self.collector = Collector(collector, self.sink.port, folder)
        self._binary, self._folder = binary, folder

    @contextlib.contextmanager
    def receiver(self, protocol, compression):
        """Runs a receiver during the context; prints the end of its log after a failure."""
        failed = self.report.failed
        endpoint = self.collector.endpoint(protocol)
        receiver = Receiver(self._binary, endpoint, protocol, compression, self._folder)
        receiver.start()
        try:
            yield receiver
        finally:
            receiver.stop()
            if self.report.failed > failed:
                print(f"--- the end of the log of {receiver.name}\n{receiver.tail()}\n---")

    def problem(self, sender, seconds=20, duplicates=False):
        """Describes the problem with the spans that arrived from `sender`; empty if there is none."""
        sent = {arrival.span_id: arrival for arrival in sender.acknowledged()}
        if sender.refused() or not sent:
            return f"{sender.refused()} spans were refused, {len(sent)} were acknowledged"
        if missing := self.sink.wait_for(set(sent), seconds):
            return f"{len(missing)} of {len(sent)} spans did not arrive within {seconds} s"
        arrived = self.sink.arrived(set(sent))
        twice = sum(n > 1 for n in Counter(a.span_id for a in arrived).values())
        if twice and not duplicates:
            return f"{twice} spans arrived more than once"
        if list(dict.fromkeys(a.span_id for a in arrived)) != list(sent):
            return "the spans arrived in another order"
        changed = [(sent[a.span_id], a) for a in arrived if a != sent[a.span_id]]
        return f"{len(changed)} spans were changed: {changed[0]}" if changed else ""


def every_exporter_with_every_protocol(setup):
    """Exporter x compression into the receiver, protocol x compression out of it."""
    for protocol, compression in FORWARDING:
        outgoing = f"forwarded over {protocol} with compression {compression}"
        with setup.receiver(protocol, compression) as receiver:
            senders = [
                Sender(
                    f"{kind}, {'gzip' if gzip else 'uncompressed'}",
                    exporter(kind, receiver.endpoint(kind), gzip),
                )
                for kind, gzip in itertools.product(EXPORTERS, (False, True))
            ]
            together(senders, 200)
            for sender in senders:
                sentence = f"spans of the SDK ({sender.name}) arrive once, in order and unchanged"
                setup.report.check(f"{sentence}, {outgoing}", setup.problem(sender))
            setup.report.check(
                f"the receiver and the SDK count the same spans, {outgoing}",
                ledger_problem(receiver, senders),
            )
            last = senders[0]
            last.send(500)
            code = receiver.stop()
            problem = setup.problem(last) or ("" if code == 0 else f"exit code {code}")
            setup.report.check(
                f"after SIGTERM a receiver sends its spans and exits with 0, {outgoing}", problem
            )
            for sender in senders:
                sender.close()


def ledger_problem(receiver, senders, seconds=10):
    """Compares the receiver's counts with the spans acknowledged to the senders."""
    expected = sum(len(sender.acknowledged()) for sender in senders)
    end = time.monotonic() + seconds
    while True:
        accepted = receiver.total("tracebuffer_receiver_accepted_spans_total")
        sent = receiver.total("tracebuffer_exporter_sent_spans_total")
        if accepted == sent == expected:
            return ""
        if time.monotonic() > end:
            return f"acknowledged {expected}, accepted {accepted:.0f}, sent {sent:.0f}"
        time.sleep(0.05)


def one_address_fits_every_exporter(setup):
    """An address without a path, on either port, as one variable gives it to all exporters."""
    with setup.receiver("grpc", "none") as receiver:
        ports = (("gRPC", receiver.grpc_port), ("HTTP", receiver.http_port))
        for (port_name, port), kind in itertools.product(ports, EXPORTERS):
            sender = Sender(f"{kind} to {port_name}", exporter(kind, f"http://127.0.0.1:{port}"))
            sender.send(20)
            sentence = (
                f"the {kind} exporter works with only the address of the {port_name} port"
            )
            setup.report.check(sentence, setup.problem(sender))
            sender.close()


def a_killed_collector_loses_nothing(setup):
    """The Collector is killed while spans are sent, stays unavailable, and restarts."""
    for protocol in ("grpc", "http"):
        with setup.receiver(protocol, "gzip") as receiver:
            senders = [
                Sender(f"{kind} in an outage", exporter(kind, receiver.endpoint(kind)))
                for kind in EXPORTERS
            ]
            sending = threading.Thread(target=together, args=(senders, 600, 0.01))
            sending.start()
            time.sleep(2)
            setup.collector.kill()
            time.sleep(2.5)
            setup.collector.start()
            sending.join()
            for sender in senders:
                kind = sender.name.split(" in ")[0]
                sentence = (
                    f"with the Collector killed and started again, every span acknowledged to the "
                    f"{kind} exporter arrives in order, forwarded over {protocol}"
                )
                setup.report.check(sentence, setup.problem(sender, seconds=60, duplicates=True))
                sender.close()


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--receiver", required=True, help="the tracebuffer binary")
    arguments.add_argument(
        "--collector", required=True, help="the OpenTelemetry Collector's binary"
    )
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(options.receiver, options.collector, folder)
        setup.collector.start()
        try:
            for checks in (
                every_exporter_with_every_protocol,
                one_address_fits_every_exporter,
                a_killed_collector_loses_nothing,
            ):
                try:
                    checks(setup)
                except Exception as error:
                    setup.report.check(
                        checks.__name__.replace("_", " "), f"{type(error).__name__}: {error}"
                    )
        finally:
            setup.collector.stop()
    print(f"{setup.report.passed} passed, {setup.report.failed} failed")
    sys.exit(1 if setup.report.failed else 0)


if __name__ == "__main__":
    main()
