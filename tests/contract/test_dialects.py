#!/usr/bin/python3
"""Answers of the OpenAI and Open Inference dialects: the same floats as on native paths, and errors that
name the place in the form of the dialect. test_statuses.py checks their statuses."""
import base64
import json
import os
import struct
import unittest

from dialect import body_of
from elmod import Elmod
from spec import Spec

SPEC = Spec(os.environ["ELMOD_OPENAPI"])
EMBEDDINGS = "/v1/embeddings"
INFER = "/v2/models/{model}/infer"
INFER_VERSION = "/v2/models/{model}/versions/{version}/infer"
TEXTS = ["A gripping film.", "", "Two hours of nothing; caf\u00e9 \U0001f600."]
MANY = [f"Text number {k}." for k in range(20)]  # their vectors are over 64 KiB, so the answer is streamed
TENSOR = body_of(INFER, "a")["inputs"][0]

# (what, body, code, param)
BAD_OPENAI_BODIES = [
    ("no JSON", b"{", "invalid_json", None),
    ("a list", [], "invalid_type", None),
    ("no model", {"input": "a"}, "missing_field", "model"),
    ("an unknown field", {**body_of(EMBEDDINGS, "a"), "a/b~c": 1}, "unknown_field", "a/b~c"),
    ("token ids", body_of(EMBEDDINGS, [1, 2]), "invalid_type", "input"),
    ("a number among texts", body_of(EMBEDDINGS, ["a", 7]), "invalid_type", "input[1]"),
    (
        "too long a text",
        body_of(EMBEDDINGS, ["a", "a " * 9]),
        "context_length_exceeded",
        "input[1]",
    ),
    ("too many texts", body_of(EMBEDDINGS, ["a"] * 4), "too_many_inputs", "input"),
    ("too many tokens", body_of(EMBEDDINGS, ["a " * 7] * 3), "too_many_tokens", "input"),
]
# (what, body, beginning of the error)
BAD_OIP_BODIES = [
    ("no JSON", b"{", "Line 1, column 1: "),
    ("no inputs", {}, "#/inputs: inputs is missing."),
    ("another tensor", {"inputs": [{**TENSOR, "name": "x"}]}, '#/inputs/0/name: It must be "text"'),
    ("a wrong shape", {"inputs": [{**TENSOR, "shape": [2]}]}, "#/inputs/0/shape: "),
    (
        "binary output",
        {"inputs": [TENSOR], "parameters": {"binary_data_output": True}},
        "#/parameters/binary_data_output: Binary tensor data is not supported",
    ),
    ("too long a text", body_of(INFER, ["a", "a " * 9]), "#/inputs/0/data/1: Input 1 has 9 tokens"),
    ("too many texts", body_of(INFER, ["a"] * 4), "#/inputs/0/data: The request has 4 inputs"),
]


def floats(values):
    """Numbers of JSON as the bytes of float32."""
    return struct.pack(f"<{len(values)}f", *values)


class DialectTest(unittest.TestCase):
    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.elmod = cls.enterClassContext(Elmod(os.environ["ELMOD_BINARY"], *cls.flags))
        cls.model = cls.elmod.ask("GET", "/info").json()["model"]

    def ask(self, path, body, status=200, headers=None):
        if isinstance(body, bytes):
            headers = {"Content-Type": "application/json", **(headers or {})}
        answer = self.elmod.ask("POST", path, body, headers)
        self.assertEqual(status, answer.status, answer.body[:500])
        self.assertEqual([], SPEC.answer_faults(path, answer))
        return answer

    def vectors(self, texts):
        """The bytes of each output, from the native path."""
        answer = self.ask("/embed", {"inputs": texts, "outputs": ["default"]}).json()
        return [floats(item["default"]) for item in answer["data"]]


class TheSameFloats(DialectTest):
    def test_openai_has_the_vectors_of_embed(self):
        for texts in (TEXTS, MANY, TEXTS[0]):
            expected = self.vectors(texts)
            body = body_of(EMBEDDINGS, texts)
            plain = self.ask(EMBEDDINGS, body).json()
            packed = self.ask(EMBEDDINGS, {**body, "encoding_format": "base64"}).json()
            self.assertEqual(expected, [floats(item["embedding"]) for item in plain["data"]])
            self.assertEqual(
                expected, [base64.b64decode(item["embedding"]) for item in packed["data"]]
            )
            self.assertEqual(list(range(len(expected))), [item["index"] for item in plain["data"]])
            self.assertEqual(plain["usage"], packed["usage"])

    def test_openai_counts_the_tokens_of_all_texts(self):
        usage = self.ask(EMBEDDINGS, body_of(EMBEDDINGS, ["one two", "", "three"])).json()["usage"]
        self.assertEqual({"prompt_tokens": 3, "total_tokens": 3}, usage)

    def test_inference_has_the_floats_of_embed_and_sentiment(self):
        for path in (INFER, INFER_VERSION):
            for texts in (TEXTS, MANY):
                expected = {"default": b"".join(self.vectors(texts)), "sentiment": b""}
                for item in self.ask("/sentiment", {"inputs": texts}).json()["data"]:
                    probabilities = [item["probabilities"][name] for name in self.model["labels"]]
                    expected["sentiment"] += floats(probabilities)
                answer = self.ask(path, body_of(path, texts)).json()
                found = {output["name"]: output for output in answer["outputs"]}
                self.assertEqual(expected.keys(), found.keys())
                for name, dim in (("default", self.model["layer_dim"]), ("sentiment", 2)):
                    self.assertEqual([len(texts), dim], found[name]["shape"])
                    self.assertEqual(expected[name], floats(found[name]["data"]))

    def test_inference_returns_the_named_outputs(self):
        for names in (["default"], ["sentiment"], ["sentiment", "default"], []):
            body = {**body_of(INFER, TEXTS), "outputs": [{"name": name} for name in names]}
            answer = self.ask(INFER, body).json()
            found = {output["name"] for output in answer["outputs"]}
            self.assertEqual(set(names or ["default", "sentiment"]), found)

    def test_inference_returns_the_id_or_that_of_the_request(self):
        for sent in ("42", "", '"\\\n\u00e9' * 9000):
            answer = self.ask(INFER, {**body_of(INFER, "a"), "id": sent})
            self.assertEqual(sent, answer.json()["id"])
        body = body_of(INFER, "a")
        del body["id"]
        answer = self.ask(INFER, body, headers={"X-Request-Id": "abc"})
        self.assertEqual("abc", answer.json()["id"])

    def test_inference_cuts_a_text_if_asked_to(self):
        limit = self.elmod.ask("GET", "/info").json()["limits"]["max_tokens"]
        body = body_of(INFER, "good " * (limit + 1))
        self.ask(INFER, body, 400)
        answer = self.ask(INFER, {**body, "parameters": {"truncate": True}}).json()
        expected = b"".join(self.vectors(["good " * limit]))
        self.assertEqual(expected, floats(answer["outputs"][0]["data"]))

    def test_the_metadata_is_that_of_info(self):
        metadata = self.elmod.ask("GET", "/v2/models/{model}").json()
        self.assertEqual([self.model["sha256"]], metadata["versions"])
        self.assertEqual(self.model["labels"], json.loads(metadata["properties"]["labels"]))
        shapes = {output["name"]: output["shape"] for output in metadata["outputs"]}
        self.assertEqual({"default": [-1, self.model["layer_dim"]], "sentiment": [-1, 2]}, shapes)
        listed = self.elmod.ask("GET", "/v1/models").json()["data"]
        self.assertEqual([self.model["name"]], [model["id"] for model in listed])
        self.assertEqual(listed[0], self.elmod.ask("GET", "/v1/models/{model}").json())


class Faults(DialectTest):
    flags = ("--max-inputs", 3, "--max-tokens", 8, "--max-request-tokens", 20)

    def test_openai_names_code_and_param(self):
        for what, body, code, param in BAD_OPENAI_BODIES:
            with self.subTest(what):
                error = self.ask(EMBEDDINGS, body, 400).json()["error"]
                self.assertEqual(
                    ("invalid_request_error", code, param),
                    (error["type"], error["code"], error["param"]),
                )

    def test_inference_names_the_place(self):
        for what, body, beginning in BAD_OIP_BODIES:
            with self.subTest(what):
                error = self.ask(INFER, body, 400).json()["error"]
                self.assertTrue(error.startswith(beginning), error)

    def test_a_body_of_binary_tensors_is_refused(self):
        """Clients of the binary extension send such bodies by default."""
        tensor = {**TENSOR, "parameters": {"binary_data_size": 5}}
        del tensor["data"]
        head = json.dumps({"inputs": [tensor]}).encode()
        headers = {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(len(head)),
        }
        answer = self.ask(INFER, head + b"\x01\0\0\0a", 400, headers)
        self.assertIn("send all of it as JSON", answer.json()["error"])

    def test_metrics_and_log_name_only_the_pattern(self):
        asked = {
            INFER: "/v2/models/secret/infer",
            "/v1/models/{model}": "/v1/models/secret",
            "/v1/*": "/v1/secret",
            "/v2/*": "/v2/secret",
        }
        for label, path in asked.items():
            method, body = ("POST", body_of(INFER, "a")) if label == INFER else ("GET", None)
            self.assertEqual(404, self.elmod.ask(method, path, body).status)
        text = self.elmod.ask("GET", "/metrics").body.decode()
        for label in asked:
            self.assertIn(f'\nelmod_requests_total{{path="{label}",code="404"}} 1\n', text)
        self.assertNotIn("secret", text + self.elmod.log_text())


if __name__ == "__main__":
    unittest.main()
