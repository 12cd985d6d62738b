#!/usr/bin/python3
"""openapi.yaml by itself: references, schemas, examples, and rules of style."""
import os
import pathlib
import re
import unittest

import jsonschema

from dialect import root_of
from spec import METHODS, Spec

SPEC = Spec(os.environ["ELMOD_OPENAPI"])
PROBLEM_H = pathlib.Path(os.environ["ELMOD_OPENAPI"]).parent / "server" / "protocol" / "problem.h"
POSTS = {
    "/embed",
    "/sentiment",
    "/score",
    "/tokenize",
    "/v1/embeddings",
    "/v2/models/{model}/infer",
    "/v2/models/{model}/versions/{version}/infer",
}

KEYWORDS = set(
    "$ref additionalProperties allOf anyOf const contentEncoding default description enum items"
    " maximum maxItems minimum minItems minLength minProperties oneOf pattern patternProperties"
    " properties required type uniqueItems".split()
)


def nodes(node, where="#"):
    """Every object in the document: (JSON pointer, object)."""
    if isinstance(node, dict):
        yield where, node
        for key, value in node.items():
            yield from nodes(value, f"{where}/{str(key).replace('/', '~1')}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from nodes(value, f"{where}/{index}")


def subschemas(schema, where):
    """`schema` and every schema within it: (JSON pointer, schema)."""
    yield where, schema
    for key in ("properties", "patternProperties"):
        for name, inner in schema.get(key, {}).items():
            yield from subschemas(inner, f"{where}/{key}/{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from subschemas(schema[key], f"{where}/{key}")
    for key in ("anyOf", "oneOf", "allOf"):
        for index, inner in enumerate(schema.get(key, [])):
            yield from subschemas(inner, f"{where}/{key}/{index}")


class TheDocument(unittest.TestCase):
    def test_is_openapi_3_1(self):
        self.assertEqual("3.1.0", SPEC.doc["openapi"])
        self.assertLessEqual({"title", "version"}, SPEC.doc["info"].keys())

    def test_has_the_version_of_the_project(self):
        self.assertEqual(os.environ["ELMOD_VERSION"], SPEC.doc["info"]["version"])

    def test_has_references_that_lead_somewhere_and_no_unused_component(self):
        used = set()
        for _, node in nodes(SPEC.doc):
            if isinstance(node.get("$ref"), str):
                SPEC.resolver.resolve(node["$ref"])  # raises when it leads nowhere
                used.add(node["$ref"])
        for _, node in nodes(SPEC.doc):  # these are used by name
            for need in node.get("security", []):
                used |= {f"#/components/securitySchemes/{name}" for name in need}
        defined = {
            f"#/components/{kind}/{name}"
            for kind, entries in SPEC.doc["components"].items()
            for name in entries
        }
        self.assertEqual(set(), defined - used)

    def test_has_valid_schemas(self):
        for where, node in nodes(SPEC.doc):
            if "schema" in node:
                with self.subTest(where):
                    jsonschema.Draft202012Validator.check_schema(node["schema"])
        for name, schema in SPEC.doc["components"]["schemas"].items():
            with self.subTest(name):
                jsonschema.Draft202012Validator.check_schema(schema)

    def test_has_examples_that_are_valid(self):
        count = 0
        for where, node in nodes(SPEC.doc):
            if "schema" not in node:
                continue
            examples = [entry["value"] for entry in node.get("examples", {}).values()]
            examples += [node["example"]] if "example" in node else []
            for example in examples:
                with self.subTest(where):
                    self.assertEqual([], SPEC.schema_faults(node["schema"], example))
                    count += 1
        self.assertGreater(count, 5)

    def test_examples_of_problems_have_their_titles(self):
        rows = re.findall(r'X\(\w+, "(\w+)", \d+, "([^"]+)"\)', PROBLEM_H.read_text("utf-8"))
        codes = SPEC.doc["components"]["schemas"]["Code"]["enum"]
        self.assertEqual(codes, [code for code, _ in rows])
        examples = [node for _, node in nodes(SPEC.doc) if {"type", "title", "code"} <= node.keys()]
        problems = [node for node in examples if node["code"] in codes]
        self.assertGreater(len(problems), 2)
        for problem in problems:
            self.assertEqual(dict(rows)[problem["code"]], problem["title"])

    def test_has_defaults_that_are_valid(self):
        for where, node in nodes(SPEC.doc["components"]["schemas"]):
            if "default" in node and not where.endswith("/properties"):
                with self.subTest(where):
                    self.assertEqual([], SPEC.schema_faults(node, node["default"]))


class TheSchemas(unittest.TestCase):
    def test_have_only_known_keywords(self):
        for name, schema in SPEC.doc["components"]["schemas"].items():
            for where, inner in subschemas(schema, name):
                with self.subTest(where):
                    self.assertLessEqual(inner.keys(), KEYWORDS)

    def test_take_no_fields_but_their_own(self):
        free_form = {"options", "provenance"}
        for where, node in nodes(SPEC.doc["components"]["schemas"]):
            if node.get("type") == "object" and where.rpartition("/")[2] not in free_form:
                with self.subTest(where):
                    self.assertIn("additionalProperties", node)

    def test_require_fields_that_exist(self):
        for where, node in nodes(SPEC.doc["components"]["schemas"]):
            if isinstance(node.get("required"), list):
                with self.subTest(where):
                    self.assertLessEqual(set(node["required"]), node["properties"].keys())


NATIVE_FAULTS = {
    (path, status) for path, status in SPEC.pairs() if status >= 400 and not root_of(path)
}


class TheOperations(unittest.TestCase):
    def test_are_one_per_path_with_an_id_of_its_own(self):
        operations = list(SPEC.operations())
        self.assertEqual(len(SPEC.doc["paths"]), len(operations))
        self.assertEqual(len(operations), len({op["operationId"] for _, _, op in operations}))
        for path, method, _ in operations:
            self.assertIn(method, METHODS)
            self.assertEqual("post" if path in POSTS else "get", method)

    def test_name_the_request_in_every_answer(self):
        for path, status in SPEC.pairs():
            with self.subTest(path=path, status=status):
                header = SPEC.resolve(SPEC.response(path, status)["headers"]["X-Request-Id"])
                self.assertTrue(header["required"])

    def test_need_a_key_where_they_may_miss_one(self):
        for path, _, operation in SPEC.operations():
            with self.subTest(path):
                is_open = operation.get("security") == []
                self.assertNotEqual(is_open, "401" in operation["responses"])

    def test_have_the_parameters_of_their_paths(self):
        for path, _, operation in SPEC.operations():
            parameters = [SPEC.resolve(node) for node in operation["parameters"]]
            names = {node["name"] for node in parameters if node["in"] == "path"}
            self.assertEqual(set(re.findall(r"{(\w+)}", path)), names, path)

    def test_answer_every_fault_with_a_problem_of_that_status(self):
        for path, status in NATIVE_FAULTS:
            with self.subTest(path=path, status=status):
                content = SPEC.response(path, status)["content"]
                self.assertEqual(["application/problem+json"], list(content))
                base, own = content["application/problem+json"]["schema"]["allOf"]
                self.assertEqual("#/components/schemas/Problem", base["$ref"])
                self.assertEqual(status, own["properties"]["status"]["const"])

    def test_answer_every_fault_in_the_dialect_of_the_path(self):
        schemas = {"/v1": "OpenAIError", "/v2": "OipError"}
        for path, status in SPEC.pairs() - NATIVE_FAULTS:
            if status >= 400:
                with self.subTest(path=path, status=status):
                    content = SPEC.response(path, status)["content"]
                    self.assertEqual(["application/json"], list(content))
                    schema = f"#/components/schemas/{schemas[root_of(path)]}"
                    self.assertEqual({"$ref": schema}, content["application/json"]["schema"])

    def test_name_the_header_that_goes_with_a_status(self):
        for path, status in SPEC.pairs():
            headers = SPEC.response(path, status)["headers"]
            self.assertEqual(status in (429, 503), "Retry-After" in headers, (path, status))
            self.assertEqual(status == 405, "Allow" in headers, (path, status))
            self.assertEqual(status == 401, "WWW-Authenticate" in headers, (path, status))

    def test_use_every_code_of_the_list(self):
        used = {"model_not_found"}  # used only in the dialects, which do not list codes by status
        for path, status in NATIVE_FAULTS:
            schema = SPEC.response(path, status)["content"]["application/problem+json"]["schema"]
            code = schema["allOf"][1]["properties"]["code"]
            used |= set(code.get("enum", [code.get("const")]))
        self.assertEqual(set(SPEC.doc["components"]["schemas"]["Code"]["enum"]), used)


if __name__ == "__main__":
    unittest.main()
