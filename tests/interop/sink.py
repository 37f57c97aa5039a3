"""The last hop: receives the spans that the Collector forwards, and records them in order."""

import base64
import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Arrival:
    """One span with its resource and scope, in a form that can be compared byte by byte."""

    span_id: bytes
    resource: bytes
    scope: bytes
    span: bytes


def arrivals(request):
    """Lists the spans of an ExportTraceServiceRequest in order."""
    return [
        Arrival(span.span_id, _bytes(group.resource), _bytes(scoped.scope), _bytes(span))
        for group in request.resource_spans
        for scoped in group.scope_spans
        for span in scoped.spans
    ]


class Sink:
    """An OTLP/HTTP JSON server on a free port of the loopback interface."""

    def __init__(self):
        self._changed = threading.Condition()
        self._arrived = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._take))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def wait_for(self, wanted, seconds):
        """Waits until every span id of `wanted` has arrived; returns those that have not."""
        end = time.monotonic() + seconds
        with self._changed:
            while missing := wanted - {arrival.span_id for arrival in self._arrived}:
                if not self._changed.wait(end - time.monotonic()):
                    return missing
        return set()

    def arrived(self, wanted):
        """Returns the arrivals whose span id is in `wanted`, in order, including duplicates."""
        with self._changed:
            return [arrival for arrival in self._arrived if arrival.span_id in wanted]

    def _take(self, body):
        request = ParseDict(_with_base64_ids(json.loads(body)), ExportTraceServiceRequest())
        with self._changed:
            self._arrived.extend(arrivals(request))
            self._changed.notify_all()


def _handler(take):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    return Handler


def _bytes(message):
    return message.SerializeToString(deterministic=True)


def _with_base64_ids(value):
    """OTLP's JSON writes ids as hexadecimal, protobuf's JSON reads them as base64."""
    if isinstance(value, list):
        return [_with_base64_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64encode(bytes.fromhex(item)).decode()
        if key in ("traceId", "spanId", "parentSpanId")
        else _with_base64_ids(item)
        for key, item in value.items()
    }
