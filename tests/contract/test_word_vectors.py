#!/usr/bin/python3
"""--word-vectors: [x_k; ELMo_k] as computed with numpy, for every form of answer and kind of file."""
import base64
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from elmod import Elmod, clean_environment
from spec import Spec

try:
    import numpy
except ImportError as missing:
    print(f"skipped: {missing}; install python3-numpy", file=sys.stderr)
    sys.exit(77)

from test_bodies import NPY, SAFETENSORS, read_safetensors

BINARY = os.environ["ELMOD_BINARY"]
SPEC = Spec(os.environ["ELMOD_OPENAPI"])
WORDS = ["the", "film", "caf\u00e9", ".", "A", "\U0001f600"]
DIM = 50
TEXTS = ["A the Film, caf\u00e9 \U0001f600.", "", "unheard of"]


def file_text(header):
    """(text of the file, {word: float32 [DIM] as numpy reads its digits})"""
    random = numpy.random.default_rng(5)
    lines = [f"{len(WORDS)} {DIM}"] if header else []
    vectors = {}
    for word in WORDS:
        numbers = [f"{value:.{random.integers(1, 9)}g}" for value in random.normal(size=DIM)]
        vectors[word] = numpy.array([numpy.float32(number) for number in numbers])
        lines.append(" ".join([word, *numbers]))
    return "\n".join(lines) + "\n", vectors


class WordVectors(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.path = self.folder / "vectors.txt"
        self.cache = self.folder / "vectors.txt.cache"

    def ask(self, elmod, body, accept="application/json", status=200):
        answer = elmod.ask("POST", "/embed", body, {"Accept": accept})
        self.assertEqual(status, answer.status, answer.body[:500])
        self.assertEqual([], SPEC.answer_faults("/embed", answer))
        return answer

    def load_event(self, elmod):
        (event,) = [
            event
            for event in map(json.loads, elmod.log_text().splitlines())
            if event["event"] == "word_vectors"
        ]
        return event

    def check(self, elmod, vectors, find):
        """Compares every form with numpy. find(word) returns the word to look up in the file."""
        body = {
            "inputs": TEXTS,
            "outputs": ["elmo", "word_vec", "word_vec_elmo"],
            "mix": {"weights": [0, 1, 2], "gamma": 2},
        }
        layer_dim = elmod.ask("GET", "/info").json()["model"]["layer_dim"]
        items = elmod.ask("POST", "/embed", body).json()["data"]  # too large for jsonschema
        packed = self.ask(elmod, {**body, "encoding_format": "base64"}).json()["data"]
        metadata, tensors = read_safetensors(self.ask(elmod, body, SAFETENSORS).body)
        told = json.loads(metadata["answer"])["data"]
        n_unknown = 0
        for index, item in enumerate(items):
            words = [vectors.get(find(word)) for word in item["tokens"]]
            unknown = [k for k, vector in enumerate(words) if vector is None]
            rows = [numpy.zeros(DIM, "<f4") if vector is None else vector for vector in words]
            alone = numpy.array(rows, "<f4").reshape(-1, DIM)
            mix = numpy.array(item["elmo"], "<f4").reshape(len(words), layer_dim)
            both = numpy.concatenate([alone, mix], axis=1)
            n_unknown += len(unknown)
            self.assertEqual(unknown, item["unknown_word_vecs"])
            self.assertEqual(unknown, told[index]["unknown_word_vecs"])
            for name, expected in (("word_vec", alone), ("word_vec_elmo", both)):
                given = numpy.array(item[name], "<f4").reshape(expected.shape)
                self.assertEqual(expected.tobytes(), given.tobytes())
                self.assertEqual(expected.tobytes(), base64.b64decode(packed[index][name]))
                self.assertEqual(expected.shape, tensors[f"{index}.{name}"].shape)
                self.assertEqual(expected.tobytes(), tensors[f"{index}.{name}"].tobytes())
                one = {**body, "inputs": TEXTS[index], "outputs": [name]}
                array = numpy.load(io.BytesIO(self.ask(elmod, one, NPY).body))
                self.assertEqual(expected.shape, array.shape)
                self.assertEqual(expected.tobytes(), array.tobytes())
        self.assertLess(0, n_unknown)
        self.assertLess(n_unknown, elmod.metric('elmod_word_vectors_total{outcome="unknown"}'))

    def test_each_kind_of_file_gives_the_numbers_that_numpy_reads(self):
        for header in (False, True):
            text, vectors = file_text(header)
            self.path.write_text(text, encoding="utf-8")
            with self.subTest(header=header), Elmod(BINARY, "--word-vectors", self.path) as elmod:
                self.assertEqual("text, to the cache", self.load_event(elmod)["from"])
                info = elmod.ask("GET", "/info")
                self.assertEqual([], SPEC.answer_faults("/info", info))
                self.assertEqual(
                    {"name": "vectors.txt", "dim": DIM, "words": len(WORDS)},
                    info.json()["word_vectors"],
                )
                self.assertIn("word_vec_elmo", info.json()["model"]["outputs"])
                self.check(elmod, vectors, lambda word: word)

    def test_lower_case_is_looked_up_if_chosen(self):
        text, vectors = file_text(False)
        self.path.write_text(text, encoding="utf-8")
        flags = ("--word-vectors", self.path, "--word-vectors-case", "lower")
        with Elmod(BINARY, *flags) as elmod:
            self.check(
                elmod, vectors, lambda word: word if word in vectors else word.lower()
            )

    def test_a_cache_may_be_elsewhere_or_missing(self):
        text, vectors = file_text(True)
        self.path.write_text(text, encoding="utf-8")
        elsewhere = self.folder / "elsewhere"
        with Elmod(BINARY, "--word-vectors", self.path, "--word-vectors-cache", elsewhere):
            pass
        for cache, origin in (
            (elsewhere, "cache"),
            ("/nowhere/cache", "text, to memory"),
        ):
            with self.subTest(origin=origin):
                flags = ("--word-vectors", self.path, "--word-vectors-cache", cache)
                with Elmod(BINARY, *flags) as elmod:
                    self.assertEqual(origin, self.load_event(elmod)["from"])
                    self.assertEqual(
                        origin == "text, to memory", "word_vectors_not_cached" in elmod.log_text()
                    )
                    self.check(elmod, vectors, lambda word: word)
        self.assertFalse(self.cache.exists())
        with Elmod(BINARY, "--word-vectors", elsewhere) as elmod:  # the cache instead of the text
            self.check(elmod, vectors, lambda word: word)

    def test_a_wrong_file_stops_the_start_and_names_the_line(self):
        self.path.write_text("a 1 2\nb 1\n", encoding="utf-8")
        done = subprocess.run(
            [BINARY, "--listen", "127.0.0.1:0", "--word-vectors", self.path],
            capture_output=True,
            check=False,
            env=clean_environment(),
            text=True,
            timeout=60,
        )
        self.assertEqual(1, done.returncode)
        self.assertIn("line 2: too few numbers", done.stderr)

    def test_without_the_flag_they_are_refused(self):
        with Elmod(BINARY) as elmod:
            self.assertIsNone(elmod.ask("GET", "/info").json()["word_vectors"])
            for name in ("word_vec", "word_vec_elmo"):
                body = {"inputs": "a", "outputs": ["elmo", name]}
                problem = self.ask(elmod, body, status=422).json()
                self.assertEqual("#/outputs/1", problem["errors"][0]["pointer"])
                self.assertIn("--word-vectors", problem["detail"])


if __name__ == "__main__":
    unittest.main()
