#!/usr/bin/python3
"""Answers below /v2 are as in the published OpenAPI of the Open Inference Protocol (in ../shared)."""
import copy
import os
import pathlib
import sys
import unittest

import jsonschema
import yaml

from dialect import body_of
from elmod import Elmod

PUBLISHED = pathlib.Path(os.environ["ELMOD_SHARED"], "golden", "oip", "open_inference_rest.yaml")
if not PUBLISHED.exists():
    print(f"skipped: {PUBLISHED} is not there", file=sys.stderr)
    sys.exit(77)
DOC = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
RESOLVER = jsonschema.RefResolver.from_schema(DOC)
# The names of the two variable parts of a path in the document.
PLACES = {"${MODEL_NAME}": "{model}", "${MODEL_VERSION}": "{version}"}
TEXTS = ["A gripping film.", "", "Two hours of nothing."]


def faults(schema, value):
    """A list of the faults of the value by a schema of the document."""
    validator = jsonschema.Draft4Validator(schema, resolver=RESOLVER)
    return [error.message[:200] for error in validator.iter_errors(value)]


def strict(schema):
    """The schema, changed so that it and all schemas within allow only the members that they name."""
    schema = copy.deepcopy(schema)
    if "$ref" in schema:
        return strict(RESOLVER.resolve(schema["$ref"])[1])
    if "properties" in schema:
        schema["properties"] = {
            name: own if name in ("data", "parameters") else strict(own)
            for name, own in schema["properties"].items()
        }
        schema["additionalProperties"] = False
    if "items" in schema:
        schema["items"] = strict(schema["items"])
    return schema


class Published(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.elmod = cls.enterClassContext(Elmod(os.environ["ELMOD_BINARY"]))

    def ask(self, template, method, body=None):
        """Sends a request to a path of the document and checks the answer against the document."""
        path = template
        for theirs, ours in PLACES.items():
            path = path.replace(theirs, ours)
        answer = self.elmod.ask(method.upper(), path, body)
        responses = DOC["paths"][template][method]["responses"]
        self.assertIn(str(answer.status), responses)
        content = responses[str(answer.status)].get("content")
        if content:
            self.assertEqual("application/json", answer.headers["Content-Type"])
            schema = content["application/json"]["schema"]
            self.assertEqual([], faults(strict(schema), answer.json()))
        return answer

    def infer(self, body, status=200):
        self.assertEqual([], faults(self.request_schema, body))
        answer = self.ask(self.infer_path, "post", body)
        self.assertEqual(status, answer.status, answer.body[:300])
        return answer.json()

    infer_path = "/v2/models/${MODEL_NAME}/versions/${MODEL_VERSION}/infer"
    request_schema = DOC["components"]["schemas"]["inference_request"]

    def test_every_path_that_is_read_answers_as_published(self):
        asked = 0
        for template, item in DOC["paths"].items():
            if "get" in item:
                self.assertEqual(200, self.ask(template, "get").status, template)
                asked += 1
        self.assertGreaterEqual(asked, 5)

    def test_errors_of_every_path_are_objects_with_a_text(self):
        for template, item in DOC["paths"].items():
            if "{" not in template:
                continue
            for theirs in PLACES:
                path = template.replace(theirs, "nothing")
                for name, ours in PLACES.items():
                    path = path.replace(name, ours)
                method, body = ("GET", None) if "get" in item else ("POST", body_of("/v2", "a"))
                answer = self.elmod.ask(method, path, body)
                self.assertEqual(404, answer.status)
                for kind in ("metadata_server", "metadata_model", "inference"):
                    schema = DOC["components"]["schemas"][f"{kind}_error_response"]
                    self.assertEqual([], faults(strict(schema), answer.json()))

    def test_inference_answers_as_published(self):
        for names in (None, ["default"], ["sentiment"], ["default", "sentiment"]):
            body = body_of("/v2", TEXTS)
            if names:
                body["outputs"] = [{"name": name, "parameters": {"x": 1}} for name in names]
            answer = self.infer(body)
            self.assertEqual("7", answer["id"])
            for output in answer["outputs"]:
                self.assertEqual(output["shape"][0] * output["shape"][1], len(output["data"]))

    def test_what_the_published_schema_allows_is_understood(self):
        (tensor,) = body_of("/v2", ["a", "b"])["inputs"]
        flat = self.infer({"inputs": [tensor]})
        for other in (
            {**tensor, "shape": [2, 1], "data": [["a"], ["b"]]},
            {**tensor, "shape": [2, 1]},
            {**tensor, "parameters": {"content_type": "str"}, "more": 1},
        ):
            answer = self.infer({"inputs": [other], "id": "x", "parameters": {"priority": 1}})
            self.assertEqual(flat["outputs"], answer["outputs"])

    def test_what_only_the_text_of_the_protocol_allows_is_understood_too(self):
        for path, body in (
            ("/v2", {"name": "elmod"}),
            ("/v2/health/live", {"live": True}),
            ("/v2/health/ready", {"live": True}),
            ("/v2/models/{model}/ready", {"ready": True}),
            ("/v2/models/{model}", {"platform": "elmo_safetensors"}),
        ):
            answer = self.elmod.ask("GET", path)
            self.assertEqual(200, answer.status)
            self.assertLessEqual(body.items(), answer.json().items())
        (tensor,) = body_of("/v2", ["a", "b"])["inputs"]
        body = {"inputs": [{**tensor, "shape": [2.0]}]}
        answer = self.elmod.ask("POST", "/v2/models/{model}/infer", body)
        self.assertEqual(self.infer({"inputs": [tensor]})["outputs"], answer.json()["outputs"])

    def test_the_examples_of_the_document_are_refused_with_a_place(self):
        """The examples are for another model."""
        examples = DOC["components"]["schemas"]["inference_request"]["x-examples"].values()
        for example in examples:
            answer = self.ask(self.infer_path, "post", example)
            self.assertEqual(400, answer.status)
            self.assertRegex(answer.json()["error"], "^#/(in|out)puts")

    def test_metadata_names_the_tensors_of_inference(self):
        metadata = self.ask("/v2/models/${MODEL_NAME}/versions/${MODEL_VERSION}", "get").json()
        (tensor,) = body_of("/v2", TEXTS)["inputs"]
        (described,) = metadata["inputs"]
        self.assertEqual(tensor["name"], described["name"])
        self.assertEqual(tensor["datatype"], described["datatype"])
        answer = self.infer(body_of("/v2", TEXTS))
        self.assertEqual(metadata["versions"], [answer["model_version"]])
        self.assertEqual(metadata["name"], answer["model_name"])
        for described, output in zip(metadata["outputs"], answer["outputs"], strict=True):
            self.assertEqual(described["name"], output["name"])
            self.assertEqual(described["datatype"], output["datatype"])
            self.assertEqual(described["shape"], [-1, *output["shape"][1:]])


if __name__ == "__main__":
    unittest.main()
