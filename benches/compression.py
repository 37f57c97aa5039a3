"""compression.py TRACEBUFFER: what compression costs a receiver, and what it saves.

Sends requests of 512 spans over HTTP to a receiver, which forwards them over gRPC to another one on the
same machine. Prints the receiver's CPU time per span and the bytes that it sent per span, for each
compression: median of five interleaved runs. Needs `ss` (iproute2) and the Python package
opentelemetry-proto.
"""

import http.client
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

RUNS, REQUESTS, SPANS, DISTINCT = 5, 600, 512, 20
RESOURCE = {"service.name": "shop", "service.version": "1.42.0", "k8s.pod.name": "shop-7c5ddbdf54-x7k2p",
            "telemetry.sdk.language": "java", "host.name": "ip-10-0-12-7"}
ROUTES = ["/cart", "/cart/items/{id}", "/checkout", "/products/{id}", "/products", "/users/{id}/orders"]
QUERIES = ["SELECT * FROM orders WHERE user_id = $1", "UPDATE stock SET n = n - $1 WHERE sku = $2",
           "INSERT INTO cart_items (cart_id, sku, n) VALUES ($1,$2,$3)"]
chance = random.Random(7)


def set_attributes(attributes, values):
    for key, value in values.items():
        each = attributes.add(key=key)
        if isinstance(value, int):
            each.value.int_value = value
        else:
            each.value.string_value = value


def fill(span, start):
    span.trace_id, span.span_id, span.parent_span_id = (chance.randbytes(n) for n in (16, 8, 8))
    span.start_time_unix_nano = start
    span.end_time_unix_nano = start + chance.randrange(200_000_000)
    if chance.random() < 0.6:
        route = chance.choice(ROUTES)
        span.name, span.kind = f"GET {route}", 2
        set_attributes(span.attributes, {
            "http.request.method": "GET", "http.route": route, "server.address": "shop.example",
            "url.path": route.replace("{id}", str(chance.randrange(10**6))),
            "http.response.status_code": chance.choice([200, 200, 200, 404, 500]),
            "network.peer.address": f"10.0.{chance.randrange(256)}.{chance.randrange(256)}",
            "network.peer.port": chance.randrange(30_000, 60_000), "user_agent.original": "okhttp/4.12.0",
            "thread.name": f"http-nio-8080-exec-{chance.randrange(200)}",
        })
    else:
        query = chance.choice(QUERIES)
        span.name, span.kind = f"{query.split()[0]} shop", 3
        set_attributes(span.attributes, {
            "db.system": "postgresql", "db.statement": query, "db.name": "shop",
            "server.address": "postgres.data", "server.port": 5432, "thread.id": chance.randrange(500),
        })


def request():
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    set_attributes(resource.resource.attributes, RESOURCE)
    scope = resource.scope_spans.add()
    scope.scope.name, scope.scope.version = "io.opentelemetry.spring-webmvc-6.0", "2.9.0"
    start = 1_790_000_000_000_000_000
    for _ in range(SPANS):
        start += chance.randrange(1_000_000)
        fill(scope.spans.add(), start)
    return message.SerializeToString()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Receiver:
    def __init__(self, binary, **settings):
        self.grpc, self.http, self.admin = (free_port() for _ in range(3))
        settings |= {"GRPC_ADDR": f"127.0.0.1:{self.grpc}", "HTTP_ADDR": f"127.0.0.1:{self.http}",
                     "ADMIN_ADDR": f"127.0.0.1:{self.admin}", "LOG_LEVEL": "warn"}
        environment = {f"TRACEBUFFER_{name}": value for name, value in settings.items()}
        self.process = subprocess.Popen([binary, "receiver"], env=environment, stdout=subprocess.DEVNULL)
        while not self.answers():
            time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def answers(self):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/ready").status == 200
        except OSError:
            return False

    def sent_spans(self):
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics").read().decode()
        return int(float(re.search(r"(?m)^tracebuffer_exporter_sent_spans_total (\S+)", text).group(1)))

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(binary, compression, requests):
    """Returns nanoseconds and bytes per span."""
    with Receiver(binary, MAX_BYTES="64Mi") as sink, \
            Receiver(binary, ENDPOINT=f"http://127.0.0.1:{sink.grpc}", COMPRESSION=compression,
                     MAX_SPANS="10000000", MAX_BYTES="1Gi") as subject:
        before, client = subject.cpu_seconds(), http.client.HTTPConnection("127.0.0.1", subject.http)
        for number in range(REQUESTS):
            body = requests[number % len(requests)]
            client.request("POST", "/v1/traces", body, {"content-type": "application/x-protobuf"})
            answer = client.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
        while subject.sent_spans() < REQUESTS * SPANS:
            time.sleep(0.1)
        took = subject.cpu_seconds() - before
        sockets = subprocess.run(["ss", "-tin", "dst", f"127.0.0.1:{sink.grpc}"], capture_output=True,
                                 text=True, check=True).stdout
        octets = sum(int(number) for number in re.findall(r"bytes_acked:(\d+)", sockets))
    return took / (REQUESTS * SPANS) * 1e9, octets / (REQUESTS * SPANS)


def main(binary):
    requests = [request() for _ in range(DISTINCT)]
    found = {"none": [], "gzip": [], "zstd": []}
    for _ in range(RUNS):
        for compression, figures in found.items():
            figures.append(measure(binary, compression, requests))
    print("compression  CPU ns/span       bytes/span")
    for compression, figures in found.items():
        nanos, octets = ([each[n] for each in figures] for n in (0, 1))
        spread = f"{statistics.median(nanos):.0f} ({min(nanos):.0f}-{max(nanos):.0f})"
        print(f"{compression:<11}  {spread:<16}  {statistics.median(octets):>6.1f}")


if __name__ == "__main__":
    main(sys.argv[1])
