"""Applications that send traces with the OpenTelemetry SDK and one of its exporters."""

import threading
import time

import grpc
from opentelemetry.exporter.otlp.common.http import Compression as JsonCompression
from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter as JsonExporter
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression as HttpCompression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from sink import arrivals

EXPORTERS = ("gRPC", "HTTP protobuf", "HTTP JSON")


def exporter(kind, endpoint, gzip=False):
    """Returns the SDK's exporter of this kind, with `endpoint` unchanged."""
    if kind == "gRPC":
        compression = grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression
        return GrpcExporter(endpoint=endpoint, insecure=True, compression=compression)
    if kind == "HTTP protobuf":
        compression = HttpCompression.Gzip if gzip else HttpCompression.NoCompression
        return HttpExporter(endpoint=endpoint, compression=compression)
    compression = JsonCompression.GZIP if gzip else JsonCompression.NONE
    return JsonExporter(endpoint=endpoint, compression=compression)


class Sender:
    """One application with its own tracer, which records the acknowledged spans."""

    def __init__(self, name, span_exporter):
        self.name = name
        self._export = _Recorded(span_exporter)
        resource = Resource.create({"service.name": name, "service.replicas": 3, "empty": ""})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._export,
                max_queue_size=100_000,
                schedule_delay_millis=50,
                max_export_batch_size=64,
            )
        )
        self._tracer = self._provider.get_tracer(
            "interop", "1.2.3", "https://opentelemetry.io/schemas/1.30.0", {"scope.attribute": True}
        )
        self._sent = 0

    def send(self, count, pause=0.0):
        """Ends `count` spans, one after another, and waits until each is exported or refused."""
        for _ in range(count):
            self._span(self._sent)
            self._sent += 1
            if pause:
                time.sleep(pause)
        self._provider.force_flush()

    def acknowledged(self):
        """Returns the acknowledged spans, in the order they were sent."""
        return list(self._export.acknowledged)

    def refused(self):
        """Returns how many spans the exporter gave up on."""
        return self._export.refused

    def close(self):
        """Stops the tracer's thread."""
        self._provider.shutdown()

    def _span(self, number):
        link = self._tracer.start_span(f"link {number}")
        span = self._tracer.start_span(
            f"span {number} ünïcode \U0001f600",
            kind=list(SpanKind)[number % len(SpanKind)],
            links=[Link(link.get_span_context(), {"why": "because"})] if number % 3 == 0 else [],
            attributes=ATTRIBUTES | {"sequence": number},
        )
        if number % 4 == 0:
            span.add_event("something", {"size": number, "names": ["a", "b"]})
            span.add_event("")
        if number % 5 == 0:
            span.set_status(Status(StatusCode.ERROR, "it broke"))
        span.end()


ATTRIBUTES = {
    "text": 'value with " quotes, \\ and \n lines',
    "text.empty": "",
    "text.long": "x" * 500,
    "bool": False,
    "int": -1,
    "int.max": 2**63 - 1,
    "int.min": -(2**63),
    "float": 0.1,
    "float.whole": 2.0,
    "float.tiny": 5e-324,
    "float.infinite": float("-inf"),
    "float.nan": float("nan"),
    "list.text": ["a", "", "c"],
    "list.int": [0, 1, 2**53 + 1],
    "list.float": [1.5, float("inf")],
    "list.bool": [True, False],
    "list.empty": [],
}


def together(senders, count, pause=0.0):
    """Sends from all senders concurrently; returns when all have finished."""
    threads = [threading.Thread(target=s.send, args=(count, pause)) for s in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class _Recorded(SpanExporter):
    def __init__(self, inner):
        self._inner = inner
        self.acknowledged = []
        self.refused = 0

    def export(self, spans):
        result = self._inner.export(spans)
        if result is SpanExportResult.SUCCESS:
            self.acknowledged.extend(arrivals(encode_spans(spans)))
        else:
            self.refused += len(spans)
        return result

    def shutdown(self):
        self._inner.shutdown()
