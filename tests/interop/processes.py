"""Processes of the programs under test."""

import contextlib
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

CONFIG = Path(__file__).parent / "collector" / "config.yaml"


def free_ports(count):
    """Returns unused ports of the loopback interface."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Program:
    """A process with its log in a file."""

    def __init__(self, name, command, environment, folder):
        self.name = name
        self.log = Path(folder) / f"{name}.log"
        self._command = command
        self._environment = {"PATH": os.environ["PATH"]} | environment
        self._process = None

    def start(self):
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait_until_ready()

    def kill(self):
        """Kills the process."""
        self._process.kill()
        self._process.wait()

    def stop(self, seconds=15):
        """Sends SIGTERM; returns the exit code, or None if the process had to be killed."""
        self._process.terminate()
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def tail(self, lines=15):
        """Returns the end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def is_ready(self):
        raise NotImplementedError

    def _wait_until_ready(self, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._process.poll() is not None:
                break
            if self.is_ready():
                return
            time.sleep(0.02)
        self.kill()
        raise RuntimeError(f"{self.name} did not become ready:\n{self.tail()}")


class Collector(Program):
    """An OpenTelemetry Collector that forwards to the sink; it keeps its ports across restarts."""

    def __init__(self, binary, sink_port, folder):
        self.grpc_port, self.http_port = free_ports(2)
        ports = {"GRPC_PORT": self.grpc_port, "HTTP_PORT": self.http_port, "SINK_PORT": sink_port}
        environment = {name: str(port) for name, port in ports.items()}
        super().__init__("collector", [binary, "--config", str(CONFIG)], environment, folder)

    def endpoint(self, protocol):
        port = self.grpc_port if protocol == "grpc" else self.http_port
        return f"http://127.0.0.1:{port}"

    def is_ready(self):
        return all(_listens(port) for port in (self.grpc_port, self.http_port))


class Receiver(Program):
    """A `tracebuffer receiver` that forwards to an endpoint."""

    def __init__(self, binary, endpoint, protocol, compression, folder):
        self.grpc_port, self.http_port, self._admin_port = free_ports(3)
        environment = {
            "TRACEBUFFER_ENDPOINT": endpoint,
            "TRACEBUFFER_PROTOCOL": protocol,
            "TRACEBUFFER_COMPRESSION": compression,
            "TRACEBUFFER_GRPC_ADDR": f"127.0.0.1:{self.grpc_port}",
            "TRACEBUFFER_HTTP_ADDR": f"127.0.0.1:{self.http_port}",
            "TRACEBUFFER_ADMIN_ADDR": f"127.0.0.1:{self._admin_port}",
        }
        super().__init__(
            f"receiver-{protocol}-{compression}", [binary, "receiver"], environment, folder
        )

    def endpoint(self, exporter):
        """Returns the endpoint for this kind of exporter."""
        if exporter == "gRPC":
            return f"http://127.0.0.1:{self.grpc_port}"
        return f"http://127.0.0.1:{self.http_port}/v1/traces"

    def is_ready(self):
        return self._get("/ready") is not None

    def total(self, metric):
        """Returns the sum of a metric over all its labels."""
        samples = (line.rsplit(" ", 1) for line in (self._get("/metrics") or "").splitlines())
        return sum(float(s[1]) for s in samples if s[0].split("{")[0] == metric)

    def _get(self, path):
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self._admin_port}{path}", timeout=2
            ) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, OSError):
            return None


def _listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
