"""Shared by the tests of the contract: the document, a good request for every path, and checks of
answers against the document."""
import os
import unittest

from dialect import body_of, codes_of, root_of, status_of
from elmod import Elmod
from spec import Spec

BINARY = os.environ["ELMOD_BINARY"]
OPENAPI = os.environ["ELMOD_OPENAPI"]
SPEC = Spec(OPENAPI)
POSTS = list(SPEC.example_paths("post"))
GETS = list(SPEC.example_paths("get"))
PATHS = POSTS + GETS
NATIVE_POSTS = [path for path in POSTS if not root_of(path)]
QUEUED = [path for path in POSTS if path != "/tokenize"]
TEXT = {"inputs": "A gripping film."}
GOOD = {path: body_of(path, "A gripping film.") for path in POSTS}

seen = set()  # (path, status) of the answers that were checked


class ContractTest(unittest.TestCase):
    def expect(self, answer, status, code=None, pointer=None):
        """Checks the answer against the document and records its path and status."""
        path = SPEC.path_of(answer.path)
        self.assertEqual(status_of(path, status, code), answer.status, answer.body[:500])
        self.assertEqual([], SPEC.answer_faults(path, answer))
        if code and answer.body:
            self.assertIn(code, codes_of(path, answer) or [code])
        if pointer:
            self.assertEqual(pointer, answer.json()["errors"][0]["pointer"])
        seen.add((path, answer.status))
        return answer


class OneServerTest(ContractTest):
    """Tests that share one elmod, started with `flags`."""

    flags = {}

    @classmethod
    def setUpClass(cls):
        flags = [text for flag in cls.flags.items() for text in flag]
        cls.elmod = cls.enterClassContext(Elmod(BINARY, *flags))

    def expect_codings(self, body, streamed):
        """The answer to this body of /embed has the preferred coding."""
        plain = self.expect(self.elmod.ask("POST", "/embed", body), 200)
        self.assertNotIn("Content-Encoding", plain.headers)
        self.assertEqual(streamed, "Content-Length" not in plain.headers)
        for accepted, coding in (
            ("gzip", "gzip"),
            ("zstd;q=0.1, gzip", "gzip"),
            ("br, zstd, gzip", "zstd"),
        ):
            with self.subTest(accepted=accepted):
                headers = {"Accept-Encoding": accepted}
                answer = self.expect(self.elmod.ask("POST", "/embed", body, headers), 200)
                self.assertEqual(coding, answer.headers["Content-Encoding"])
                self.assertIn("Accept-Encoding", answer.headers["Vary"])
                self.assertLess(len(answer.body), len(plain.body) * 0.55)
                self.assertEqual(plain.body, answer.decoded())
