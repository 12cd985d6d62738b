#!/usr/bin/python3
"""The content of answers with status 200 is what was requested, and is consistent."""
import base64
import math
import pathlib
import struct
import tempfile
import unittest

from contract import BINARY, SPEC, TEXT, ContractTest, OneServerTest
from elmod import Elmod
from zero_model import write_zero_model, write_zero_softmax


class OfTheDefaultModel(OneServerTest):
    def test_every_output_is_answered_in_its_shape(self):
        model = self.expect(self.elmod.ask("GET", "/info"), 200).json()["model"]
        for pooling, n_pooled in (("mean", 1), ("max", 1), ("mean_max", 2)):
            body = {"inputs": [["a", "b", "c"]], "outputs": model["outputs"], "pooling": pooling}
            (item,) = self.expect(self.elmod.ask("POST", "/embed", body), 200).json()["data"]
            self.assertEqual({"index", "tokens", "truncated", *model["outputs"]}, item.keys())
            for name in model["outputs"]:
                dim = model["token_dim"] if name == "word_emb" else model["layer_dim"]
                rows = [item[name]] if name == "default" else item[name]
                self.assertEqual(1 if name == "default" else 3, len(rows))
                self.assertEqual(
                    {dim * n_pooled if name == "default" else dim}, set(map(len, rows))
                )

    def test_default_outputs_are_those_of_the_document(self):
        default = SPEC.doc["components"]["schemas"]["EmbedRequest"]["properties"]["outputs"][
            "default"
        ]
        (item,) = self.expect(self.elmod.ask("POST", "/embed", TEXT), 200).json()["data"]
        self.assertEqual({"index", "tokens", "truncated", *default}, item.keys())

    def test_base64_holds_the_same_floats_as_json(self):
        body = {**TEXT, "outputs": ["elmo", "default"]}
        (plain,) = self.expect(self.elmod.ask("POST", "/embed", body), 200).json()["data"]
        body["encoding_format"] = "base64"
        (packed,) = self.expect(self.elmod.ask("POST", "/embed", body), 200).json()["data"]
        for name, values in (("default", plain["default"]), ("elmo", sum(plain["elmo"], []))):
            self.assertEqual(
                struct.pack(f"<{len(values)}f", *values), base64.b64decode(packed[name])
            )

    def test_offsets_point_at_the_tokens(self):
        text = "\U0001f600 caf\u00e9, ok"
        encoded = {
            "bytes": text.encode(),
            "utf16": text.encode("utf-16-le"),
            "codepoints": text.encode("utf-32-le"),
        }
        for unit, size, codec in (
            ("bytes", 1, "utf-8"),
            ("utf16", 2, "utf-16-le"),
            ("codepoints", 4, "utf-32-le"),
        ):
            answer = self.expect(
                self.elmod.ask("POST", "/tokenize", {"inputs": text, "offsets": unit}), 200
            )
            (item,) = answer.json()["data"]
            found = [
                encoded[unit][start * size : end * size].decode(codec)
                for start, end in item["offsets"]
            ]
            self.assertEqual(item["tokens"], found)

    def test_sentiment_names_the_most_probable_label(self):
        answer = self.expect(
            self.elmod.ask("POST", "/sentiment", {"inputs": ["good", "bad", ""]}), 200
        ).json()
        for item in answer["data"]:
            self.assertEqual(set(answer["labels"]), item["probabilities"].keys())
            self.assertAlmostEqual(1, sum(item["probabilities"].values()), places=5)
            self.assertEqual(item["score"], item["probabilities"][item["label"]])
            self.assertEqual(item["score"], max(item["probabilities"].values()))

    def test_attributions_and_bias_sum_to_the_logit(self):
        body = {"inputs": ["A wonderful film, awful acting.", ""], "explain": True}
        data = self.expect(self.elmod.ask("POST", "/sentiment", body), 200).json()["data"]
        for item in data:
            explanation = item["explanation"]
            self.assertEqual("positive", explanation["label"])
            self.assertEqual(len(item["tokens"]), len(item["attributions"]))
            total = sum(item["attributions"]) + explanation["bias"]
            self.assertAlmostEqual(explanation["logit"], total, places=4)
            odds = item["probabilities"]["positive"] / item["probabilities"]["negative"]
            self.assertAlmostEqual(explanation["logit"], math.log(odds), places=4)
        self.assertEqual(data[1]["explanation"]["bias"], data[1]["explanation"]["logit"])
        self.assertEqual(data[0]["explanation"]["bias"], data[1]["explanation"]["bias"])

    def test_perplexities_are_those_of_the_log_probs(self):
        body = {"inputs": ["We sat on the xqzt bank.", ""]}
        for item in self.expect(self.elmod.ask("POST", "/score", body), 200).json()["data"]:
            self.assertEqual(
                [index for index, token in enumerate(item["tokens"]) if token == "xqzt"],
                item["unknown"],
            )
            every = []
            for side in (item["forward"], item["backward"]):
                self.assertEqual(len(item["tokens"]), len(side["log_probs"]))
                scores = [*side["log_probs"], side["end_log_prob"]]
                perplexity = math.exp(-math.fsum(scores) / len(scores))
                self.assertAlmostEqual(1, side["perplexity"] / perplexity, places=5)
                every += scores
            perplexity = math.exp(-math.fsum(every) / len(every))
            self.assertAlmostEqual(1, item["perplexity"] / perplexity, places=5)


class OfOtherModels(ContractTest):
    def test_words_of_a_model_of_zeros_are_equally_probable(self):
        """And so are its labels; all attributions are 0."""
        folder = self.enterContext(tempfile.TemporaryDirectory())
        model = pathlib.Path(folder, "zero.safetensors")
        softmax = pathlib.Path(folder, "zero.softmax.safetensors")
        write_zero_model(model)
        write_zero_softmax(softmax, n_words=100)
        with Elmod(BINARY, "--model", model, "--softmax", softmax) as elmod:
            body = {"inputs": [["w7", "x"], []]}
            for item in self.expect(elmod.ask("POST", "/score", body), 200).json()["data"]:
                n_tokens = len(item["tokens"])
                self.assertEqual([1] if n_tokens else [], item["unknown"])
                self.assertAlmostEqual(100, item["perplexity"], places=3)
                for side in (item["forward"], item["backward"]):
                    self.assertEqual(n_tokens, len(side["log_probs"]))
                    self.assertAlmostEqual(100, side["perplexity"], places=3)
            body["explain"] = True
            for item in self.expect(elmod.ask("POST", "/sentiment", body), 200).json()["data"]:
                self.assertEqual([0] * len(item["tokens"]), item["attributions"])
                self.assertEqual(
                    {"label": "no", "logit": 0, "bias": 0, "method": "linear"},
                    item["explanation"],
                )

    def test_vectors_are_nearly_the_same_in_every_type(self):
        """The relative distance from float32 is 0 in f32 and small in bf16 and int8."""
        body = {"inputs": "A gripping film, badly lit.", "outputs": ["default"]}
        exact = None
        for dtype, most in (("f32", 0), ("bf16", 0.01), ("int8", 0.05)):
            with Elmod(BINARY, "--dtype", dtype) as elmod:
                compute = self.expect(elmod.ask("GET", "/info"), 200).json()["compute"]
                self.assertEqual(dtype, compute["dtype"])
                (item,) = self.expect(elmod.ask("POST", "/embed", body), 200).json()["data"]
            vector = item["default"]
            exact = exact or vector
            distance = math.dist(exact, vector) / math.hypot(*exact)
            self.assertLessEqual(distance, most)
            self.assertEqual(dtype == "f32", distance == 0)


if __name__ == "__main__":
    unittest.main()
