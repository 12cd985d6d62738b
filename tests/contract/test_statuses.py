#!/usr/bin/python3
"""Provokes every (path, status) of openapi.yaml in a real elmod and validates each answer.

Fails if a documented status was not provoked (except NOT_PROVOKED), or if an answer is not as
documented: status, content type, headers, body, problem code and pointer.
"""
import concurrent.futures
import gzip
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

from bad_requests import (
    BAD_BODIES,
    BAD_EMBED_BODIES,
    BAD_HEADERS,
    BAD_SCORE_BODIES,
    BAD_SENTIMENT_BODIES,
    GOOD_HEADERS,
)
from contract import (
    BINARY,
    GETS,
    GOOD,
    NATIVE_POSTS,
    OPENAPI,
    PATHS,
    POSTS,
    QUEUED,
    SPEC,
    TEXT,
    ContractTest,
    OneServerTest,
    seen,
)
from dialect import body_of, root_of
from elmod import Elmod, wait_until
from zero_model import write_zero_model, write_zero_softmax

GZIP_JSON = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
IDENTITY = {"Content-Encoding": "identity"}

# Documented, but a client cannot provoke them.
NOT_PROVOKED = {
    (path, 500): "only a fault of ours or no memory answers it" for path in SPEC.doc["paths"]
}


def tearDownModule():
    """After all tests: was every documented status provoked?"""
    if len(sys.argv) > 1:
        return  # only some tests were selected on the command line
    documented = SPEC.pairs()
    assert NOT_PROVOKED.keys() <= documented, "NOT_PROVOKED names what is not documented"
    assert not NOT_PROVOKED.keys() & seen, "NOT_PROVOKED names what was seen"
    missing = documented - seen - NOT_PROVOKED.keys()
    assert not missing, f"documented but never seen: {sorted(missing, key=str)}"


class WithDefaults(OneServerTest):
    def test_a_good_request_is_answered(self):
        for path in NATIVE_POSTS:
            for inputs in ("A gripping film.", "", ["", "one two"], [["one", "two"], []]):
                with self.subTest(path=path, inputs=inputs):
                    answer = self.expect(
                        self.elmod.ask("POST", path, {"inputs": inputs}), 200
                    ).json()
                    n_inputs = 1 if isinstance(inputs, str) else len(inputs)
                    self.assertEqual(
                        list(range(n_inputs)), [item["index"] for item in answer["data"]]
                    )
                    self.assertEqual(n_inputs, answer["usage"]["inputs"])

    def test_headers_are_understood(self):
        for path in POSTS:
            for name, value in GOOD_HEADERS:
                with self.subTest(path=path, header=f"{name}: {value}"):
                    answer = self.elmod.ask("POST", path, GOOD[path], {name: value})
                    self.expect(answer, 200)
            for name, value, status in BAD_HEADERS:
                with self.subTest(path=path, header=f"{name}: {value}"):
                    headers = (
                        {} if value is None else {"Content-Type": "application/json", name: value}
                    )
                    body = json.dumps(GOOD[path]).encode()
                    self.expect(self.elmod.ask("POST", path, body, headers), status)
        for path in GETS:
            if SPEC.response(path, 406):
                self.expect(self.elmod.ask("GET", path, headers={"Accept": "text/html"}), 406)

    def test_a_body_may_be_in_gzip(self):
        for path in POSTS:
            body = json.dumps(GOOD[path]).encode()
            plain = self.expect(self.elmod.ask("POST", path, body, GZIP_JSON | IDENTITY), 200)
            for name, coded in (
                ("one member", gzip.compress(body)),
                ("two members", gzip.compress(body[:7]) + gzip.compress(body[7:])),
            ):
                with self.subTest(path=path, body=name):
                    answer = self.elmod.ask("POST", path, coded, GZIP_JSON)
                    self.assertEqual(plain.body, self.expect(answer, 200).body)
            for name, coded in (
                ("nothing", b""),
                ("not gzip", body),
                ("cut off", gzip.compress(body)[:-1]),
                ("more bytes after it", gzip.compress(body) + b"{}"),
                ("a wrong checksum", gzip.compress(body)[:-8] + bytes(8)),
            ):
                with self.subTest(path=path, body=name):
                    answer = self.elmod.ask("POST", path, coded, GZIP_JSON)
                    self.expect(answer, 400, "bad_encoding")

    def test_a_large_answer_has_the_preferred_coding(self):
        self.expect_codings({"inputs": ["one two three four"] * 40, "outputs": ["elmo"]}, True)

    def test_a_small_answer_has_no_coding(self):
        answer = self.elmod.ask("POST", "/embed", TEXT, {"Accept-Encoding": "gzip, zstd"})
        self.assertNotIn("Content-Encoding", self.expect(answer, 200).headers)

    def test_a_get_ignores_content_encoding(self):
        for path in GETS:
            for method in ("GET", "HEAD"):
                with self.subTest(method=method, path=path):
                    headers = {"Content-Encoding": "gzip"}
                    self.expect(self.elmod.ask(method, path, headers=headers), 200)

    def test_a_bad_deadline_is_refused(self):
        for path in QUEUED:
            for value in ("", "0", "-1", "1.5", "soon"):
                with self.subTest(path=path, value=value):
                    answer = self.elmod.ask(
                        "POST", path, GOOD[path], {"X-Request-Timeout-Ms": value}
                    )
                    self.expect(answer, 400, "bad_header")

    def test_a_request_id_is_echoed_or_replaced(self):
        for path in PATHS:
            method, body = ("POST", GOOD[path]) if path in POSTS else ("GET", None)
            for sent, echoed in (
                ("a.B-9_~:/+=@", True),
                ("x" * 128, True),
                ("x" * 129, False),
                ("", False),
                ("a b", False),
                ("<script>", False),
            ):
                with self.subTest(path=path, sent=sent):
                    answer = self.expect(
                        self.elmod.ask(method, path, body, {"X-Request-Id": sent}), 200
                    )
                    self.assertEqual(echoed, answer.headers["X-Request-Id"] == sent)

    def test_a_get_is_answered_and_a_head_without_body(self):
        for path in GETS:
            with self.subTest(path=path):
                got = self.expect(self.elmod.ask("GET", path + "?x=1"), 200)
                head = self.expect(self.elmod.ask("HEAD", path), 200)
                self.assertEqual(got.headers["Content-Type"], head.headers["Content-Type"])

    def test_the_document_is_served_as_it_is(self):
        answer = self.expect(self.elmod.ask("GET", "/openapi.yaml"), 200)
        self.assertEqual(pathlib.Path(OPENAPI).read_bytes(), answer.body)

    def test_an_unchanged_page_is_not_sent_again(self):
        for path in ("/", "/docs", "/web/style.css", "/web/main.js", "/web/icon.svg"):
            with self.subTest(path=path):
                etag = self.expect(self.elmod.ask("GET", path), 200).headers["ETag"]
                for listed in (etag, etag.removeprefix("W/"), f'"x", {etag}', "*"):
                    for method in ("GET", "HEAD"):
                        headers = {"If-None-Match": listed}
                        answer = self.expect(self.elmod.ask(method, path, headers=headers), 304)
                        self.assertEqual(etag, answer.headers["ETag"])
                for other in ('"x"', etag + "x", etag[:-1], ""):
                    self.expect(self.elmod.ask("GET", path, headers={"If-None-Match": other}), 200)

    def test_a_file_that_the_pages_do_not_have_is_not_found(self):
        for path in ("/web/nothing", "/web/main.js/", "/web/../main.js", "/web/page.html"):
            for method in ("GET", "HEAD"):
                with self.subTest(method=method, path=path):
                    self.expect(self.elmod.ask(method, path), 404, "not_found")

    def test_the_build_has_the_version_of_the_document(self):
        answer = self.expect(self.elmod.ask("GET", "/info"), 200)
        self.assertEqual(SPEC.doc["info"]["version"], answer.json()["build"]["version"])

    def test_other_paths_are_not_found(self):
        native = ("/nothing", "/embed/", "/Embed", "/health/", "/v1x", "/web", "/web/")
        others = ("/v1", "/v1/", "/v1/embed", "/v1/models/", "/v2/embed", "/v2/models", "/v2//")
        for path in native + others:
            for method, body in (("GET", None), ("HEAD", None), ("POST", TEXT), ("PUT", TEXT)):
                with self.subTest(method=method, path=path):
                    self.expect(self.elmod.ask(method, path, body), 404, "not_found")

    def test_a_model_or_a_version_that_is_not_here_is_not_found(self):
        for path in PATHS:
            method = "POST" if path in POSTS else "GET"
            for place in ("{model}", "{version}"):
                for value in ("x", "elmo-small%20", "%7Bmodel%7D", "0" * 64, "a" * 20000):
                    if place in path:
                        asked = path.replace(place, value)
                        with self.subTest(path=asked[:100]):
                            answer = self.elmod.ask(method, asked, GOOD.get(path))
                            self.expect(answer, 404, "model_not_found")
        body = body_of("/v1/embeddings", "a", "text-embedding-ada-002")
        self.expect(self.elmod.ask("POST", "/v1/embeddings", body), 404, "model_not_found")

    def test_other_methods_are_refused(self):
        for path in PATHS:
            allowed = ["POST"] if path in POSTS else ["GET", "HEAD"]
            for method in (
                "GET",
                "HEAD",
                "POST",
                "PUT",
                "DELETE",
                "PATCH",
                "OPTIONS",
                "TRACE",
                "BREW",
            ):
                if method in allowed:
                    continue
                with self.subTest(method=method, path=path):
                    body = GOOD.get(path, TEXT) if method in ("POST", "PUT", "PATCH") else None
                    answer = self.expect(
                        self.elmod.ask(method, path, body), 405, "method_not_allowed"
                    )
                    self.assertEqual(", ".join(allowed), answer.headers["Allow"])

    def test_a_get_with_a_body_is_refused(self):
        for path in GETS:
            for method in ("GET", "HEAD"):
                with self.subTest(method=method, path=path):
                    self.expect(self.elmod.ask(method, path, b"{}"), 400, "bad_framing")

    def test_framing_that_proxies_may_read_in_two_ways_is_refused(self):
        for path in PATHS:
            method = "POST" if path in POSTS else "GET"
            for framing in (
                "Content-Length: 4\r\nTransfer-Encoding: chunked",
                "Content-Length: 4\r\nContent-Length: 5",
            ):
                with self.subTest(path=path, framing=framing):
                    path = self.elmod.expand(path)
                    request = (
                        f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                        f"{framing}\r\n\r\n0\r\n\r\n"
                    ).encode()
                    self.expect(self.elmod.ask_raw(request, method, path), 400, "bad_framing")

    def test_a_request_without_host_is_refused(self):
        for path in PATHS:
            method = "POST" if path in POSTS else "GET"
            path = self.elmod.expand(path)
            request = f"{method} {path} HTTP/1.1\r\n\r\n".encode()
            self.expect(self.elmod.ask_raw(request, method, path), 400, "bad_header")

    def test_early_errors_are_answered_as_documented(self):
        chunked = b"POST /embed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        for status, request in (
            (400, b"GET /info\r\n\r\n"),
            (400, b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n"),
            (400, chunked + b"z\r\n"),
            (413, b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n"),
            (414, b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
            (431, b"GET /info HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 100000 + b"\r\n\r\n"),
            (500, chunked + b"5;" + b"x" * 100000),
            (505, b"GET /info HTTP/2.0\r\nHost: x\r\n\r\n"),
        ):
            with self.subTest(status=status, request=request[:60]):
                answer = self.elmod.ask_raw(request, "GET", "/")
                self.assertEqual(status, answer.status)
                self.assertIsNone(answer.headers["X-Request-Id"])
                self.assertEqual("close", answer.headers["Connection"].lower())


class WithSmallLimits(OneServerTest):
    flags = {
        "--max-body-bytes": 1000,
        "--max-inputs": 3,
        "--max-tokens": 8,
        "--max-request-tokens": 20,
        "--body-timeout-ms": 300,
        "--compress-min-bytes": 1000,
    }

    def test_an_answer_over_the_size_has_a_coding(self):
        self.expect_codings({"inputs": "one two three", "outputs": ["elmo"]}, False)

    def test_a_body_over_the_limit_when_it_is_inflated_is_refused(self):
        for path in POSTS:
            body = gzip.compress(json.dumps(body_of(path, " " * 2000)).encode())
            self.assertLess(len(body), 1000)
            answer = self.expect(
                self.elmod.ask("POST", path, body, GZIP_JSON), 413, "body_too_large"
            ).json()
            if not root_of(path):
                self.assertEqual(1000, answer["limit"])

    def test_bad_bodies_are_refused(self):
        for path in NATIVE_POSTS:
            bodies = BAD_BODIES + {
                "/embed": BAD_EMBED_BODIES,
                "/sentiment": BAD_SENTIMENT_BODIES,
                "/score": BAD_SCORE_BODIES,
            }.get(path, [])
            for what, body, code, pointer in bodies:
                with self.subTest(path=path, what=what):
                    headers = {"Content-Type": "application/json"}
                    answer = self.elmod.ask("POST", path, body, headers)
                    self.expect(answer, SPEC.status_of(code), code, pointer)

    def test_errors_of_a_size_have_the_limit_and_the_size(self):
        for body, limit, actual in (
            ({"inputs": ["a"] * 4}, 3, 4),
            ({"inputs": ["a " * 7] * 3}, 20, 21),
            ({"inputs": ["a " * 9], "truncate": False}, 8, 9),
            ({"inputs": "a b c", "max_tokens": 2, "truncate": False}, 2, 3),
        ):
            for path in NATIVE_POSTS:
                with self.subTest(path=path, limit=limit):
                    problem = self.elmod.ask("POST", path, body).json()
                    self.assertEqual((limit, actual), (problem["limit"], problem["actual"]))

    def test_a_wrong_path_or_method_comes_before_a_wrong_body(self):
        """If the body is too large by its length, too large when it is read, or does not arrive."""
        large = b"a" * 2000
        for method, path, status in (("POST", "/nothing", 404), ("PUT", "/info", 405)):
            for headers, body in (({}, large), ({"Transfer-Encoding": "chunked"}, [large])):
                with self.subTest(path=path, headers=headers):
                    self.expect(self.elmod.ask(method, path, body, headers), status)
            with self.subTest(path=path, body="late"):
                request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
                self.expect(self.elmod.ask_raw(request.encode(), method, path), status)

    def test_a_chunked_body_may_not_be_too_large_either(self):
        for path in POSTS:
            headers = {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}
            answer = self.elmod.ask("POST", path, [b"a" * 600, b"a" * 600], headers)
            self.expect(answer, 413, "body_too_large")

    def test_a_long_input_is_cut_if_that_is_allowed(self):
        for path in NATIVE_POSTS:
            for max_tokens, n_tokens in ((None, 8), (100, 8), (2, 2)):
                body = {"inputs": ["a " * 9], "max_tokens": max_tokens}
                answer = self.expect(self.elmod.ask("POST", path, body), 200).json()
                self.assertEqual(n_tokens, answer["usage"]["tokens"])
                self.assertTrue(answer["data"][0]["truncated"])

    def test_a_body_that_does_not_arrive_times_out(self):
        for path in POSTS:
            with self.subTest(path=path):
                path = self.elmod.expand(path)
                request = (
                    f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    'Content-Length: 20\r\n\r\n{"inputs"'
                ).encode()
                self.expect(self.elmod.ask_raw(request, "POST", path), 408, "body_timeout")

    def test_the_limits_are_those_that_info_shows(self):
        limits = self.expect(self.elmod.ask("GET", "/info"), 200).json()["limits"]
        for flag in ("--max-body-bytes", "--max-inputs", "--max-tokens", "--max-request-tokens"):
            self.assertEqual(self.flags[flag], limits[flag[2:].replace("-", "_")])


class WithApiKeys(OneServerTest):
    KEYS = ("a-key-0123456789", "another-key-0123456789")

    @classmethod
    def setUpClass(cls):
        file = cls.enterClassContext(tempfile.NamedTemporaryFile("w", encoding="ascii"))
        file.write("# two keys\n" + "\n".join(cls.KEYS) + "\n")
        file.flush()
        cls.flags = {"--api-keys": file.name}
        super().setUpClass()

    def ask(self, path, headers):
        return self.elmod.ask("POST" if path in POSTS else "GET", path, GOOD.get(path), headers)

    def test_paths_are_as_open_as_they_are_documented(self):
        for path in PATHS + ["/nothing", "/v1/nothing", "/v2/nothing"]:
            known = SPEC.path_of(path) in SPEC.doc["paths"]
            is_open = known and SPEC.operation(path)[1].get("security") == []
            for headers in ({}, {"Authorization": "Bearer no-key-0123456789"}):
                with self.subTest(path=path, headers=headers):
                    answer = self.ask(path, headers)
                    if is_open:
                        self.expect(answer, 200)
                    else:
                        self.expect(answer, 401, "unauthorized")

    def test_each_key_is_accepted_in_both_fields(self):
        for path in PATHS:
            for key in self.KEYS:
                for headers in ({"Authorization": "Bearer " + key}, {"X-API-Key": key}):
                    with self.subTest(path=path, headers=headers):
                        self.expect(self.ask(path, headers), 200)


class WithMadeModels(ContractTest):
    def setUp(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.model = pathlib.Path(folder, "zero.safetensors")
        self.softmax = pathlib.Path(folder, "zero.softmax.safetensors")

    def test_a_server_without_a_softmax_says_so(self):
        with Elmod(BINARY, "--softmax", "") as elmod:
            self.expect(elmod.ask("POST", "/score", TEXT), 501, "not_in_model")
            info = self.expect(elmod.ask("GET", "/info"), 200).json()
            self.assertFalse(info["model"]["language_model"])

    def test_a_softmax_of_another_model_ends_the_start(self):
        write_zero_model(self.model)
        write_zero_softmax(self.softmax, cell_dim=17)
        done = subprocess.run(
            [BINARY, "--listen", "127.0.0.1:0", "--model", self.model, "--softmax", self.softmax],
            env={},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(1, done.returncode)
        self.assertRegex(done.stderr, "model_failed.*trained with another biLM")

    def test_a_model_without_a_sentiment_head_says_so(self):
        write_zero_model(self.model, labels=())
        with Elmod(BINARY, "--model", self.model) as elmod:
            self.expect(elmod.ask("POST", "/sentiment", TEXT), 501, "not_in_model")
            self.expect(elmod.ask("POST", "/embed", TEXT), 200)
            metadata = self.expect(elmod.ask("GET", "/v2/models/{model}"), 200).json()
            self.assertEqual(["default"], [output["name"] for output in metadata["outputs"]])
            self.assertNotIn("properties", metadata)
            infer = "/v2/models/{model}/infer"
            answer = self.expect(elmod.ask("POST", infer, GOOD[infer]), 200).json()
            self.assertEqual(["default"], [output["name"] for output in answer["outputs"]])
            body = {**GOOD[infer], "outputs": [{"name": "sentiment"}]}
            self.expect(elmod.ask("POST", infer, body), 422, "invalid_value")

    def test_a_kernel_can_be_forced(self):
        with Elmod(BINARY, "--kernel", "baseline") as elmod:
            compute = self.expect(elmod.ask("GET", "/info"), 200).json()["compute"]
            self.assertEqual("baseline", compute["kernel"])
            self.expect(elmod.ask("POST", "/embed", TEXT), 200)

    def test_a_full_queue_and_a_passed_deadline_are_answered(self):
        """One request keeps the only worker busy. Meanwhile some requests are sent together. One of
        them has room in the queue until its deadline, the others have none. The requests are made
        longer until this happens."""
        write_zero_model(self.model, cell_dim=2048, proj_dim=256)
        write_zero_softmax(self.softmax, cell_dim=2048, proj_dim=256)
        model = ("--model", self.model, "--softmax", self.softmax)
        n_tokens = 500
        while not {(path, status) for path in QUEUED for status in (429, 504)} <= seen:
            limits = ("--max-tokens", "--max-request-tokens", "--queue-tokens")
            flags = [text for flag in limits for text in (flag, n_tokens)]
            with Elmod(BINARY, *model, "--threads", 1, *flags) as elmod:
                for path in QUEUED:
                    self.crowd(elmod, path, body_of(path, ["a " * n_tokens], "zero"))
            n_tokens *= 2

    def crowd(self, elmod, path, body):
        def hurried(_):
            return elmod.ask("POST", path, body, {"X-Request-Timeout-Ms": "20"})

        with concurrent.futures.ThreadPoolExecutor() as pool:
            patient = pool.submit(elmod.ask, "POST", path, body)
            while not patient.done():
                for answer in pool.map(hurried, range(3)):
                    self.assertIn(answer.status, (200, 429, 504))
                    self.expect(answer, answer.status)
            self.assertIn(patient.result().status, (200, 429))

    def test_a_server_that_is_still_loading_says_so_and_is_alive(self):
        """The model is made larger until loading takes long enough for a request."""
        cell_dim = 1024
        unready = [path for path in PATHS if SPEC.response(path, 503)]
        loading = set()
        while loading != set(unready):
            write_zero_model(self.model, cell_dim=cell_dim, proj_dim=cell_dim // 8)
            with Elmod(BINARY, "--model", self.model, ready=False) as elmod:
                for path in unready:
                    method, body = ("POST", GOOD[path]) if path in POSTS else ("GET", None)
                    answer = elmod.ask(method, path, body)
                    if answer.status == 503:
                        self.expect(answer, 503, "loading")
                        loading.add(path)
                for path in set(GETS) - set(unready):
                    self.expect(elmod.ask("GET", path), 200)
            cell_dim *= 2


class WhenStopping(ContractTest):
    def test_readiness_ends_at_once_and_service_after_the_grace(self):
        with Elmod(BINARY, "--drain-grace-ms", 1500) as elmod:
            kept = {path: elmod.connect() for path in POSTS}
            for path, connection in kept.items():
                self.expect(elmod.ask("POST", path, GOOD[path], connection=connection), 200)
            elmod.ask_to_stop()
            wait_until(lambda: elmod.ask("GET", "/health").status == 503, "the end of readiness")
            for path in (path for path in GETS if path.endswith(("/health", "/ready"))):
                self.expect(elmod.ask("GET", path), 503, "draining")
            for path in ("/health/live", "/v2/health/live"):
                self.expect(elmod.ask("GET", path), 200)
            self.expect(elmod.ask("POST", "/embed", TEXT), 200)


if __name__ == "__main__":
    unittest.main()
