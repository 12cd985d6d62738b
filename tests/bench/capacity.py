#!/usr/bin/python3
"""Measures the rate of a core through HTTP and prints the table of deploy/capacity.md. Each elmod runs
on one core with one thread. The load comes from another core. First 32 clients send their next
request as soon as they have an answer: this gives the tokens per second of CPU (all work of elmod:
HTTP, computing, text). Then requests arrive at random times at 70 % of that rate. It needs two idle
cores and half a minute for each row.

    tests/bench/capacity.py BUILD NAME=MODEL...   e.g. build/release elmo-small= original=big.safetensors

If $LOCK names a file, it is locked (flock) while a row is measured.
"""
import contextlib
import fcntl
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

CASES = [  # dtype, path, output, encoding; only the first model gets more than the first three
    ("f32", "/embed", "default", "float"),
    ("bf16", "/embed", "default", "float"),
    ("int8", "/embed", "default", "float"),
    ("int8", "/embed", "default", "base64"),
    ("int8", "/embed", "elmo", "float"),
    ("int8", "/embed", "elmo", "base64"),
    ("int8", "/sentiment", "", ""),
]
N_CLIENTS, SECONDS, PART = 32, 6, 0.7
SENTENCES = pathlib.Path(__file__).resolve().parent / "sentences.txt"


class Elmod:
    def __init__(self, build, model, dtype, folder):
        port_file = folder / "port"
        port_file.unlink(missing_ok=True)
        flags = ["--listen", "127.0.0.1:0", "--port-file", port_file, "--log-level", "error"]
        flags += ["--threads", "1", "--dtype", dtype]
        flags += ["--model", model] if model else []
        self.process = subprocess.Popen(["taskset", "-c", "0", build / "server/elmod", *flags])
        while not port_file.exists() or not port_file.read_text(encoding="ascii").endswith("\n"):
            time.sleep(0.01)
        self.address = port_file.read_text(encoding="ascii").strip()
        while self.get("/health/ready") is None:
            time.sleep(0.05)

    def get(self, path, body=None):
        request = urllib.request.Request(f"http://{self.address}{path}", data=body)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.read()
        except urllib.error.HTTPError:
            return None

    def metric(self, name):
        return float(re.search(rf"^{name} (.+)$", self.get("/metrics").decode(), re.M)[1])

    def bytes_per_token(self, path, output, encoding):
        """Bytes per token of the answers to every tenth sentence."""
        n_bytes = n_tokens = 0
        for text in SENTENCES.read_text(encoding="utf-8").splitlines()[::10]:
            body = {"inputs": text}
            if output:
                body |= {"outputs": [output], "encoding_format": encoding}
            answer = self.get(path, json.dumps(body).encode())
            n_bytes += len(answer)
            n_tokens += json.loads(answer)["usage"]["tokens"]
        return n_bytes / n_tokens

    def stop(self):
        self.process.terminate()
        self.process.wait()


def load(build, elmod, path, output, encoding, *how):
    """[answers per second, tokens per second, p50 in ms, p99 in ms]"""
    options = ["--path", path, "--seconds", str(SECONDS), *map(str, how)]
    options += ["--output", output, "--format", encoding] if output else []
    command = ["taskset", "-c", "1", build / "tests/bench/bench_load", "--address", elmod.address]
    line = subprocess.run(
        [*command, *options],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [float(cell) for cell in line.strip().strip("|").split("|")[1:5]]


@contextlib.contextmanager
def lock():
    if "LOCK" not in os.environ:
        yield
        return
    with open(os.environ["LOCK"], "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def measure(build, name, model, case, folder):
    dtype, path, output, encoding = case
    elmod = Elmod(build, model, dtype, folder)
    try:
        n_bytes = elmod.bytes_per_token(path, output, encoding)
        tokens = elmod.metric("elmod_tokens_total")
        cpu_s = elmod.metric("process_cpu_seconds_total")
        answered, per_s, _, _ = load(build, elmod, path, output, encoding, "--clients", N_CLIENTS)
        tokens = elmod.metric("elmod_tokens_total") - tokens
        cpu_s = elmod.metric("process_cpu_seconds_total") - cpu_s
        rate = PART * tokens / cpu_s / (per_s / answered)
        _, _, p50, p99 = load(build, elmod, path, output, encoding, "--rates", max(1, round(rate)))
        rss = elmod.metric("process_resident_memory_bytes") / (1 << 20)
    finally:
        elmod.stop()
    what = f"{path} {output} {encoding}".replace(" float", " JSON").strip()
    print(
        f"| {name} | {dtype} | {what} | {tokens / cpu_s:,.0f} | {rss:.0f} MiB | {n_bytes:,.0f} "
        f"| {p50:.1f} ms | {p99:.1f} ms |",
        flush=True,
    )


def main():
    if len(sys.argv) < 3 or os.cpu_count() < 2:
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        for i, argument in enumerate(sys.argv[2:]):
            name, _, model = argument.partition("=")
            for case in CASES if i == 0 else CASES[:3]:
                with lock():
                    measure(build, name, model, case, pathlib.Path(folder))


if __name__ == "__main__":
    main()
