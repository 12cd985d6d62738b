#!/usr/bin/python3
"""The binary forms of answers have the content of the JSON answers. npy is read by numpy.load, safetensors
by a reader that follows the description of the format."""
import io
import json
import os
import sys
import unittest

from elmod import Elmod
from spec import Spec

try:
    import numpy
except ImportError as missing:
    print(f"skipped: {missing}; install python3-numpy", file=sys.stderr)
    sys.exit(77)

SPEC = Spec(os.environ["ELMOD_OPENAPI"])
SAFETENSORS = "application/vnd.safetensors"
NPY = "application/x-npy"
TEXTS = ["A gripping film.", "", 'She said "no\\way".\n', "\U0001f600 caf\u00e9"]


def read_safetensors(blob):
    """(metadata, {name: array}), after https://github.com/huggingface/safetensors#format"""
    n_header = int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8 : 8 + n_header].decode("utf-8"))
    data = memoryview(blob)[8 + n_header :]
    assert blob[8:9] == b"{" and n_header % 8 == 0 and n_header <= 100_000_000
    metadata = header.pop("__metadata__", {})
    assert all(isinstance(value, str) for value in metadata.values())
    spans = sorted(tensor["data_offsets"] for tensor in header.values())
    assert [0, *(end for _, end in spans)] == [*(begin for begin, _ in spans), len(data)]
    arrays = {}
    for name, tensor in header.items():
        assert tensor["dtype"] == "F32"
        begin, end = tensor["data_offsets"]
        arrays[name] = numpy.frombuffer(data[begin:end], "<f4").reshape(tensor["shape"])
    return metadata, arrays


class BinaryBodies(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.elmod = cls.enterClassContext(Elmod(os.environ["ELMOD_BINARY"]))
        cls.model = cls.elmod.ask("GET", "/info").json()["model"]

    def ask(self, path, body, accept, status=200):
        answer = self.elmod.ask("POST", path, body, {"Accept": accept})
        self.assertEqual(status, answer.status, answer.body[:500])
        self.assertEqual([], SPEC.answer_faults(path, answer))
        return answer

    def load_npy(self, path, body):
        answer = self.ask(path, body, NPY)
        self.assertEqual(NPY, answer.headers["Content-Type"])
        array = numpy.load(io.BytesIO(answer.body), allow_pickle=False)
        self.assertEqual(("<f4", True), (array.dtype.str, array.flags["C_CONTIGUOUS"]))
        saved = io.BytesIO()
        numpy.save(saved, array)
        self.assertEqual(saved.getvalue(), answer.body)  # the same bytes as numpy writes
        return array

    def assert_same(self, array, values, shape):
        """The same float32 as in JSON, bit for bit."""
        expected = numpy.array(values, dtype="<f4").reshape(shape)
        self.assertEqual(expected.shape, array.shape)
        self.assertEqual(expected.tobytes(), array.tobytes())

    def test_safetensors_hold_what_json_holds(self):
        for pooling, n_pooled in (("mean", 1), ("mean_max", 2)):
            body = {
                "inputs": TEXTS,
                "outputs": self.model["outputs"],
                "pooling": pooling,
                "offsets": "codepoints",
            }
            expected = self.ask("/embed", body, "application/json").json()
            body["encoding_format"] = "base64"  # has no effect here
            metadata, arrays = read_safetensors(self.ask("/embed", body, SAFETENSORS).body)
            self.assertEqual(len(TEXTS) * len(self.model["outputs"]), len(arrays))
            for item in expected["data"]:
                for name in self.model["outputs"]:
                    dim = self.model["token_dim" if name == "word_emb" else "layer_dim"]
                    shape = (n_pooled * dim,) if name == "default" else (len(item["tokens"]), dim)
                    self.assert_same(arrays[f"{item['index']}.{name}"], item.pop(name), shape)
            self.assertEqual(self.model["name"], metadata["model"])
            self.assertEqual(expected, json.loads(metadata["answer"]))

    def test_safetensors_of_many_inputs_are_streamed(self):
        body = {"inputs": ["good"] * 1500, "outputs": ["default"]}
        answer = self.ask("/embed", body, SAFETENSORS)
        self.assertEqual(str(len(answer.body)), answer.headers["Content-Length"])
        metadata, arrays = read_safetensors(answer.body)
        self.assertEqual(1500, len(json.loads(metadata["answer"])["data"]))
        self.assertEqual({f"{i}.default" for i in range(1500)}, arrays.keys())
        self.assertEqual(1, len({array.tobytes() for array in arrays.values()}))

    def test_npy_stacks_default_over_the_inputs(self):
        for pooling in ("mean", "max", "mean_max"):
            body = {"inputs": TEXTS, "outputs": ["default"], "pooling": pooling}
            expected = self.ask("/embed", body, "application/json").json()
            dim = self.model["layer_dim"] * (2 if pooling == "mean_max" else 1)
            vectors = [item["default"] for item in expected["data"]]
            self.assert_same(self.load_npy("/embed", body), vectors, (len(TEXTS), dim))

    def test_npy_has_the_rows_of_one_input(self):
        for inputs in ("A gripping film.", "", [["a", "b"]]):
            for name in self.model["outputs"]:
                body = {"inputs": inputs, "outputs": [name]}
                (item,) = self.ask("/embed", body, "application/json").json()["data"]
                dim = self.model["token_dim" if name == "word_emb" else "layer_dim"]
                n_rows = 1 if name == "default" else len(item["tokens"])
                self.assert_same(self.load_npy("/embed", body), item[name], (n_rows, dim))

    def test_npy_of_sentiment_has_the_probabilities(self):
        expected = self.ask("/sentiment", {"inputs": TEXTS}, "application/json").json()
        rows = [
            [item["probabilities"][label] for label in self.model["labels"]]
            for item in expected["data"]
        ]
        self.assert_same(self.load_npy("/sentiment", {"inputs": TEXTS}), rows, (len(TEXTS), 2))

    def test_outputs_that_do_not_fit_npy_are_refused_or_sent_in_another_type(self):
        for body in (
            {"inputs": "a"},
            {"inputs": ["a", "b"], "outputs": ["elmo"]},
            {"inputs": ["a", "b"], "outputs": ["default", "elmo"]},
        ):
            problem = self.ask("/embed", body, NPY, 406).json()
            self.assertIn(SAFETENSORS, problem["detail"])
            answer = self.ask("/embed", body, f"{NPY}, {SAFETENSORS};q=0.5")
            self.assertEqual(SAFETENSORS, answer.headers["Content-Type"])
            read_safetensors(answer.body)


if __name__ == "__main__":
    unittest.main()
