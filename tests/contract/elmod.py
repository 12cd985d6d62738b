"""A running elmod for tests: it is started on a free port, gets requests over sockets, and is stopped."""
import dataclasses
import gzip
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

import zstandard

PATIENCE_S = 120  # reached only if something is broken


@dataclasses.dataclass
class Answer:
    method: str
    path: str
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self):
        return json.loads(self.decoded())

    def decoded(self):
        """The body without its content coding."""
        coding = self.headers.get("Content-Encoding")
        if coding == "gzip":
            return gzip.decompress(self.body)
        if coding == "zstd":
            return zstandard.ZstdDecompressor().stream_reader(self.body).read()
        return self.body


def wait_until(event, what):
    """Returns the first true value of event()."""
    give_up = time.monotonic() + PATIENCE_S
    while not (value := event()):
        if time.monotonic() > give_up:
            raise TimeoutError(f"waited {PATIENCE_S} s for {what}")
        time.sleep(0.005)
    return value


# The softmax of the built-in model.
SOFTMAX = pathlib.Path(
    os.environ["ELMOD_SOURCE_ROOT"], "model/weights/elmo-small.softmax.safetensors"
)


def clean_environment():
    """The environment without variables that elmod would read as its configuration."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ELMOD_")}


class Elmod:
    """with Elmod(binary, "--threads", "1") as elmod: elmod.ask("GET", "/info")

    At the end of the block it is stopped and must exit with status 0. Without --model and --softmax it
    uses SOFTMAX.
    """

    def __init__(self, binary, *flags, ready=True):
        self.folder = tempfile.TemporaryDirectory(prefix="elmod-contract-")
        self.asked_to_stop = False
        self.port_file = pathlib.Path(self.folder.name, "address")
        if not {"--model", "--softmax"} & set(flags):
            flags += ("--softmax", SOFTMAX)
        self.log = open(pathlib.Path(self.folder.name, "log"), "w+b")
        self.process = subprocess.Popen(
            [binary, "--listen", "127.0.0.1:0", "--port-file", self.port_file, *map(str, flags)],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env=clean_environment(),
        )
        try:
            address = wait_until(self.read_address, "the port file")
            self.host, _, port = address.rpartition(":")
            self.port = int(port)
            if ready:
                wait_until(lambda: self.ask("GET", "/health/ready").status == 200, "readiness")
        except BaseException:
            self.process.kill()
            raise

    def read_address(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"elmod ended with {self.process.returncode}:\n{self.log_text()}")
        text = self.port_file.read_text(encoding="ascii") if self.port_file.exists() else ""
        return text.strip() if text.endswith("\n") else ""

    def log_text(self):
        self.log.flush()
        return pathlib.Path(self.log.name).read_text(encoding="utf-8", errors="replace")

    def expand(self, path):
        """A path of the document with the name and version of the model; with others while it is loading."""
        model = {"model": "unknown", "sha256": "0"}
        for line in self.log_text().splitlines() if "{" in path else ():
            if '"event":"ready"' in line:
                model = json.loads(line)
        name = urllib.parse.quote(model["model"], safe="")
        return path.replace("{model}", name).replace("{version}", model["sha256"])

    def connect(self):
        return http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_S)

    def ask(self, method, path, body=None, headers=None, connection=None):
        """Sends a request and returns the answer. {model} and {version} in the path are replaced. A body
        of bytes is sent as it is, an iterable in chunks (if `headers` has Transfer-Encoding), and any
        other value as JSON. `connection` is kept open."""
        path = self.expand(path)
        headers = dict(headers or {})
        chunked = "Transfer-Encoding" in headers
        if body is not None and not isinstance(body, bytes) and not chunked:
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        own = connection or self.connect()
        try:
            own.request(method, path, body, headers, encode_chunked=chunked)
            return receive(method, path, own.getresponse())
        finally:
            if own is not connection:
                own.close()

    def ask_raw(self, request, method, path):
        """Sends these bytes and reads one answer."""
        with socket.create_connection((self.host, self.port), PATIENCE_S) as connection:
            connection.sendall(request)
            response = http.client.HTTPResponse(connection, method=method)
            response.begin()
            return receive(method, path, response)

    def metric(self, name):
        """The value of a series, named with its labels as in /metrics."""
        for line in self.ask("GET", "/metrics").body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        raise KeyError(name)

    def ask_to_stop(self):
        """Sends SIGTERM, but only once: a second signal would end it at once."""
        if not self.asked_to_stop:
            self.process.send_signal(signal.SIGTERM)
        self.asked_to_stop = True

    def stop(self):
        """Returns the exit status."""
        self.ask_to_stop()
        return self.process.wait(PATIENCE_S)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        status = None
        try:
            status = self.stop()
        finally:
            self.process.kill()
            log = self.log_text()
            self.log.close()
            self.folder.cleanup()
            if kind is not None or status != 0:
                print(f"elmod ended with {status}; its log:\n{log}")
        if kind is None and status != 0:
            raise RuntimeError(f"elmod ended with {status}")


def receive(method, path, response):
    return Answer(
        method, path.partition("?")[0], response.status, response.headers, response.read()
    )
