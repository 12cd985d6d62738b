#!/usr/bin/python3
"""Sends good and bad bodies, generated from the request schemas, and unusual GETs to a real elmod.

Every answer is as documented and never 5xx. A body that the schema and a few further rules allow is
answered 200. A body that the schema forbids is not. The seed is fixed, so a failure can be repeated.
"""
import json
import os
import random
import unittest

from dialect import root_of
from elmod import Elmod
from spec import Spec

SPEC = Spec(os.environ["ELMOD_OPENAPI"])
POSTS = [
    path
    for path in SPEC.doc["paths"]
    if SPEC.operation(path)[0] == "post" and "{version}" not in path  # the same as without it
]
N_GETS = 40  # for each path
QUERIES = ["", "?", "?x=1&x=2", "?%00", "?a[]=%ff", "?" + "q" * 2000]
ODD_HEADERS = [
    ("Accept", ""),
    ("Accept", "application/x-npy"),
    ("Accept", "*/*;q=0, text/html"),
    ("Accept-Encoding", "gzip, br, zstd"),
    ("Accept-Encoding", "*;q=0"),
    ("Authorization", "Basic Og=="),
    ("Content-Type", "text/plain"),
    ("If-None-Match", "*"),
    ("If-None-Match", 'W/"x", "y'),
    ("Origin", "null"),
    ("Range", "bytes=0-0"),
    ("traceparent", "00-0-0-0"),
    ("X-Request-Id", "\xe9"),
    ("X-Request-Timeout-Ms", "-1"),
]
OIP_OUTPUTS = ["default", "sentiment"]
WORDS = [
    "",
    "a",
    "film",
    "A gripping, funny film.",
    "don't",
    " ",
    "\t\n",
    "\u00e9\u0301",
    "\U0001f600 ok",
    "\u6f22\u5b57",
    "\u202eabc",
    '"\\/',
    "<S>",
    "word " * 20,
    "\x7f",
    "\ufffd",
    "\U0010ffff",
]
ODD_VALUES = [
    None,
    True,
    False,
    0,
    -1,
    1,
    1.5,
    1e300,
    "",
    "x",
    [],
    ["x"],
    [[]],
    [["x"]],
    {},
    {"x": 1},
]


def n_bodies(path):
    """Bodies of each kind. Fewer for the dialects, which share most of the code with the native paths."""
    return 100 if root_of(path) else 300


class Generator:
    def __init__(self, path, kind, model):
        self.random = random.Random(f"{path} {kind}")
        self.path = path
        self.model = model

    def value(self, schema, name=None):
        """A value that the schema (and for some names the model) allows."""
        pick = self.random
        schema = SPEC.resolve(schema)
        if name == "model":
            return self.model["name"]
        if name == "dimensions":
            return pick.choice([None, self.model["layer_dim"]])
        if name == "outputs" and root_of(self.path):
            return [{"name": name} for name in pick.sample(OIP_OUTPUTS, pick.randint(0, 2))]
        if name == "outputs":
            return pick.sample(self.model["outputs"], pick.randint(1, len(self.model["outputs"])))
        if name == "weights":
            return [
                pick.choice([0, 1, -1.5, pick.gauss(0, 3)]) for _ in range(1 + self.model["layers"])
            ]
        if name == "gamma":
            return pick.choice([0, 1, -2.5, pick.gauss(0, 3)])
        if "anyOf" in schema:
            return self.value(pick.choice(schema["anyOf"]))
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return pick.choice(schema["enum"])
        return getattr(self, pick.choice(self.types(schema)))(schema)

    @staticmethod
    def types(schema):
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return ["a_" + kind for kind in kinds]

    def a_null(self, _):
        return None

    def a_boolean(self, _):
        return self.random.random() < 0.5

    def a_string(self, _):
        return self.random.choice(WORDS)

    def a_integer(self, schema):
        return self.random.choice([schema["minimum"], 2, 7, 512, 2**53])

    def a_array(self, schema):
        n_items = self.random.randint(schema.get("minItems", 0), schema.get("maxItems", 4))
        return [self.value(schema["items"]) for _ in range(n_items)]

    def a_object(self, schema):
        required = schema.get("required", [])
        value = {
            name: self.value(own, name)
            for name, own in schema["properties"].items()
            if name in required or self.random.random() < 0.4
        }
        if "shape" in value:
            value["shape"] = self.shape_of(value["data"])
        return value

    def shape_of(self, data):
        """[B], or [B, 1], which also allows nested data."""
        nested = any(isinstance(item, list) for item in data)
        return [len(data)] + [1] * (nested or self.random.random() < 0.5)

    def spoiled(self, body):
        """A copy of `body` with one random change. It may be valid by chance."""
        copy = json.loads(json.dumps(body))
        places = []
        collect_places(copy, places)
        holder, key = self.random.choice(places)
        change = self.random.randrange(4)
        if change == 0 and isinstance(holder, dict):
            del holder[key]
        elif change == 1 and isinstance(holder, dict):
            holder[self.random.choice(["x", "Inputs", "a/b~", "\u00e9", ""])] = self.random.choice(
                ODD_VALUES
            )
        elif change == 2 and isinstance(holder, list):
            holder.insert(key, self.random.choice(ODD_VALUES))
        else:
            holder[key] = self.random.choice(ODD_VALUES)
        return copy

    def garbled(self, text):
        """`text` with some bytes removed, doubled or overwritten."""
        garbled = bytearray(text)
        for _ in range(self.random.randint(1, 3)):
            start = self.random.randrange(len(garbled) + 1)
            end = min(len(garbled), start + self.random.randint(0, 8))
            garbled[start:end] = self.random.choice(
                [
                    b"",
                    garbled[start:end] * 2,
                    self.random.randbytes(2),
                    b'"',
                    b"{",
                    b"]",
                    b"\\u0000",
                    b"\\ud800",
                ]
            )
        return bytes(garbled)


def collect_places(value, places):
    """Every (container, key) within `value`."""
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            places.append((value, key))
            collect_places(inner, places)


def breaks_a_rule_of_openai(body, model):
    return (
        body["model"] != model["name"]
        or body.get("dimensions") not in (None, model["layer_dim"])
        or isinstance(body.get("dimensions"), float)
    )


def breaks_a_rule_of_oip(body):
    (tensor,) = body["inputs"]
    names = [output["name"] for output in body.get("outputs") or []]
    nested = any(isinstance(item, list) for item in tensor["data"])
    return (
        tensor["shape"][0] != len(tensor["data"])
        or tensor["shape"][1:] != [1] * (len(tensor["shape"]) - 1)
        or (nested and len(tensor["shape"]) == 1)
        or len(names) != len(set(names))
    )


def breaks_a_rule_beyond_the_schema(path, body, model):
    """True if the limits or the model forbid a body that the schema allows."""
    if root_of(path) == "/v1":
        return breaks_a_rule_of_openai(body, model)
    if root_of(path) == "/v2":
        return breaks_a_rule_of_oip(body)
    tokens_given = isinstance(body["inputs"], list) and isinstance(body["inputs"][0], list)
    weights = body.get("mix", {}).get("weights", [0] * (1 + model["layers"]))
    return (
        tokens_given
        and body.get("offsets") is not None
        or len(weights) != 1 + model["layers"]
        or not set(body.get("outputs", [])) <= set(model["outputs"])
        or "max_tokens" in body
        and not body.get("truncate", True)
        or isinstance(body.get("max_tokens"), float)
    )  # 1e300 is an integer to JSON Schema


class Generated(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.elmod = cls.enterClassContext(Elmod(os.environ["ELMOD_BINARY"], "--dtype", "int8"))
        cls.model = cls.elmod.ask("GET", "/info").json()["model"]
        cls.connection = cls.elmod.connect()
        cls.addClassCleanup(cls.connection.close)

    def status(self, path, body):
        """The status of the answer, which must be documented."""
        headers = {"Content-Type": "application/json"}
        answer = self.elmod.ask("POST", path, body, headers, connection=self.connection)
        self.assertEqual([], SPEC.answer_faults(path, answer), body)
        self.assertLess(answer.status, 500, body)
        return answer.status

    def bodies(self, path, kind):
        """Yields (generator, good body) n_bodies times."""
        generator = Generator(path, kind, self.model)
        schema = SPEC.request_schema(path)
        for _ in range(n_bodies(path)):
            yield generator, generator.value(schema)

    def test_good_bodies_are_answered(self):
        for path in POSTS:
            n_answered = 0
            for _, body in self.bodies(path, "good"):
                with self.subTest(path=path, body=body):
                    self.assertEqual([], SPEC.schema_faults(SPEC.request_schema(path), body))
                    status = self.status(path, body)
                    if not breaks_a_rule_beyond_the_schema(path, body, self.model):
                        self.assertEqual(200, status)
                        n_answered += 1
            self.assertGreater(n_answered, n_bodies(path) // 2)

    def test_spoiled_bodies_are_refused_where_the_schema_refuses_them(self):
        for path in POSTS:
            n_refused = 0
            for generator, body in self.bodies(path, "spoiled"):
                body = generator.spoiled(body)
                with self.subTest(path=path, body=body):
                    status = self.status(path, body)
                    if SPEC.schema_faults(SPEC.request_schema(path), body):
                        self.assertIn(status, (400, 404) if root_of(path) else (413, 422))
                        n_refused += 1
                    elif not breaks_a_rule_beyond_the_schema(path, body, self.model):
                        self.assertEqual(200, status)
            self.assertGreater(n_refused, n_bodies(path) // 4)

    def test_odd_gets_break_nothing(self):
        for path in SPEC.example_paths("get"):
            pick = random.Random(path)
            for _ in range(N_GETS):
                method, query = pick.choice(["GET", "HEAD"]), pick.choice(QUERIES)
                headers = dict(pick.sample(ODD_HEADERS, pick.randint(0, 4)))
                with self.subTest(path=path, method=method, query=query[:20], headers=headers):
                    answer = self.elmod.ask(
                        method, path + query, headers=headers, connection=self.connection
                    )
                    self.assertEqual([], SPEC.answer_faults(path, answer))
                    self.assertLess(answer.status, 500)

    def test_garbled_bodies_break_nothing(self):
        for path in POSTS:
            for generator, body in self.bodies(path, "garbled"):
                text = generator.garbled(json.dumps(body).encode())
                with self.subTest(path=path, body=text):
                    self.status(path, text)


if __name__ == "__main__":
    unittest.main()
