"""Load for trials of a deployment: clients send their next request as soon as they have the answer
to the last, and count every answer except the right one as a failure. For benchmarks use
tests/bench/bench_load.c."""
import collections
import http.client
import itertools
import json
import math
import re
import threading
import time

TEXTS = [
    "A gripping, funny and moving film.",
    "We took the money to the bank .",
    "Dull , slow and far too long : I left after an hour .",
    "The river bank was green , and nobody was there .",
]
REQUESTS = [
    (path, json.dumps(body | {"inputs": inputs}).encode())
    for inputs in [*TEXTS, TEXTS]
    for path, body in (
        ("/embed", {"outputs": ["elmo", "default"], "encoding_format": "base64"}),
        ("/embed", {"outputs": ["default"]}),
        ("/sentiment", {}),
    )
]
PATIENCE_S = 60


class Load:
    """with Load(("127.0.0.1", 8080), 8) as load: ...; then load.report()

    Every second client opens a new connection for each request. The same request must get the same
    answer, byte for byte, from every server.
    """

    def __init__(self, address, n_clients):
        self.address = address
        self.stopping = threading.Event()
        self.lock = threading.Lock()  # guards the members below
        self.answers = {}  # by request
        self.latencies_s = []
        self.failures = collections.Counter()
        self.threads = [
            threading.Thread(target=self.ask_on, args=(i % len(REQUESTS), i % 2 == 0))
            for i in range(n_clients)
        ]

    def ask_on(self, first, keep):
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE_S)
        for path, body in itertools.islice(itertools.cycle(REQUESTS), first, None):
            if self.stopping.is_set():
                break
            headers = {"Content-Type": "application/json"}
            if not keep:
                headers["Connection"] = "close"
            begun = time.monotonic()
            try:
                connection.request("POST", path, body, headers)
                answer = connection.getresponse()
                outcome = answer.status, answer.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                outcome = type(error).__name__, b""
            self.count((path, body), outcome, time.monotonic() - begun)
        connection.close()

    def count(self, request, outcome, seconds):
        status, body = outcome
        with self.lock:
            self.latencies_s.append(seconds)
            if status != 200:
                what = re.search(rb'"code":"(\w+)"', body)
                self.failures[f"{request[0]}: {status} {what[1].decode() if what else ''}"] += 1
            elif self.answers.setdefault(request, body) != body:
                self.failures[f"{request[0]}: the answer differs from the first one"] += 1

    def n_requests(self):
        with self.lock:
            return len(self.latencies_s)

    def quantile_ms(self, q):
        with self.lock:
            ordered = sorted(self.latencies_s)
        return 1000 * ordered[max(0, math.ceil(q * len(ordered)) - 1)] if ordered else math.nan

    def report(self):
        lines = [
            f"{self.n_requests()} requests, {self.failures.total()} failed, "
            f"p50 {self.quantile_ms(0.5):.1f} ms, p99 {self.quantile_ms(0.99):.1f} ms"
        ]
        lines += [f"  {count} x {what}" for what, count in self.failures.most_common(20)]
        return "\n".join(lines)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
