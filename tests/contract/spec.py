"""Queries to openapi.yaml: what may a path answer, and is an answer as documented?"""
import json
import re
import sys

try:
    import jsonschema
    import yaml
except ImportError as missing:
    print(f"skipped: {missing}; install python3-yaml and python3-jsonschema", file=sys.stderr)
    sys.exit(77)

from dialect import root_of

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


class Spec:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.text = file.read()
        self.doc = yaml.safe_load(self.text)
        self.resolver = jsonschema.RefResolver.from_schema(self.doc)

    def resolve(self, node):
        """`node`, or the target of its $ref."""
        while "$ref" in node:
            node = self.resolver.resolve(node["$ref"])[1]
        return node

    def operations(self):
        """(path, method, operation) of all paths."""
        for path, item in self.doc["paths"].items():
            for method in METHODS:
                if method in item:
                    yield path, method, item[method]

    def example_paths(self, method):
        """A path for requests, for each path with this method. {model} and {version}, which have no
        example, are left for elmod.py to replace."""
        for path, own, operation in self.operations():
            if own == method:
                for parameter in map(self.resolve, operation["parameters"]):
                    if parameter["in"] == "path" and "example" in parameter:
                        path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
                yield path

    def operation(self, path):
        """The operation of the path: (method, operation). Every path has exactly one."""
        path = self.path_of(path)
        (found,) = [(method, op) for where, method, op in self.operations() if where == path]
        return found

    def pairs(self):
        """Every documented (path, status); those of unknown paths are "*", "/v1/*" and "/v2/*"."""
        found = {
            (path, int(status)) for path, _, op in self.operations() for status in op["responses"]
        }
        return found | {
            (path, int(status))
            for path, responses in self.doc["x-unknown-paths"].items()
            for status in responses
        }

    def path_of(self, path):
        """The path of the document that matches the path of a request."""
        if path in self.doc["paths"]:
            return path
        for template in sorted(self.doc["paths"], key=len, reverse=True):
            pattern = re.escape(template).replace(r"\{model\}", ".+")
            pattern = re.sub(r"\\{\w+\\}", "[^/]+", pattern)
            if re.fullmatch(pattern, path):
                return template
        return root_of(path) + "/*" if root_of(path) else "*"

    def status_of(self, code):
        """The status of the problems that may have this code."""
        found = set()
        for path, status in self.pairs():
            for media in self.response(path, status).get("content", {}).values():
                for part in media["schema"].get("allOf", []):
                    allowed = part.get("properties", {}).get("code", {})
                    if code in allowed.get("enum", [allowed.get("const")]):
                        found.add(status)
        (status,) = found
        return status

    def request_schema(self, path):
        _, operation = self.operation(path)
        return operation["requestBody"]["content"]["application/json"]["schema"]

    def schema_faults(self, schema, value):
        """A list of the faults of `value`; empty if it is valid."""
        validator = jsonschema.Draft202012Validator(schema, resolver=self.resolver)
        return [
            f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"
            for error in validator.iter_errors(value)
        ]

    def response(self, path, status):
        """The documented response, or None."""
        responses = self.doc["x-unknown-paths"].get(path)
        if responses is None:
            responses = self.operation(path)[1]["responses"]
        response = responses.get(str(status))
        return response and self.resolve(response)

    def answer_faults(self, path, answer):
        """A list of the differences between an Answer of `path` and the document."""
        response = self.response(path, answer.status)
        if response is None:
            return [f"status {answer.status} is not documented for {path}"]
        return self.header_faults(response, answer) + self.body_faults(response, answer)

    def header_faults(self, response, answer):
        faults = []
        for name, header in response["headers"].items():
            header = self.resolve(header)
            value = answer.headers.get(name)
            if value is None:
                if header.get("required"):
                    faults.append(f"no header {name}")
                continue
            if header["schema"]["type"] == "integer" and value.isascii() and value.isdigit():
                value = int(value)
            faults += [f"{name}{fault}" for fault in self.schema_faults(header["schema"], value)]
        return faults

    def body_faults(self, response, answer):
        content = response.get("content", {})
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        if not content:
            return ["a body, but none is documented"] if answer.body or media_type else []
        if media_type not in content:
            return [f"Content-Type is {media_type!r}, not one of {list(content)}"]
        if answer.method == "HEAD":
            return ["a body after HEAD"] if answer.body else []
        if content[media_type]["schema"].get("format") == "binary":
            return []
        try:
            text = answer.decoded().decode("utf-8")
            value = json.loads(text) if media_type.endswith("json") else text
        except ValueError as error:
            return [f"body: {error}"]
        faults = self.schema_faults(content[media_type]["schema"], value)
        if media_type == "application/problem+json":
            faults += problem_faults(value, answer)
        return faults


def problem_faults(problem, answer):
    """Checks that no schema can express: members of a problem that repeat each other or the headers."""
    expected = {
        "type": "urn:elmod:problem:" + str(problem.get("code")),
        "status": answer.status,
        "instance": answer.path,
        "request_id": answer.headers.get("X-Request-Id"),
    }
    faults = [
        f"{name} is {problem.get(name)!r}, not {value!r}"
        for name, value in expected.items()
        if problem.get(name) != value
    ]
    if "retry_after_ms" in problem:
        seconds = -(-problem["retry_after_ms"] // 1000)
        if answer.headers.get("Retry-After") != str(seconds):
            faults.append("Retry-After is not retry_after_ms in seconds, rounded up")
    return faults
