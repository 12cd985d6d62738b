#!/usr/bin/python3
"""Makes the API page from openapi.yaml when elmod is built: plain HTML that needs no script.

usage: docs.py openapi.yaml OUT.html
"""
import html
import json
import pathlib
import re
import sys

import yaml

PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>elmod · API</title>
  <link rel="icon" href="web/icon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="web/style.css">
  <script src="web/theme.js"></script>
</head>
<body>
  <a class="skip" href="#paths">Skip to the paths</a>
  <header class="top">
    <a class="brand" href="./"><img src="web/icon.svg" alt="" width="28" height="28"> elmod</a>
    <nav aria-label="Page">
      <a href="./">Playground</a>
      <a href="docs" aria-current="page">API</a>
    </nav>
    <button id="theme" class="quiet" type="button" aria-label="Light or dark" hidden>◐</button>
  </header>
  <main class="docs">
%s
  </main>
  <footer class="bottom">
    <p>Made from <a href="openapi.yaml">openapi.yaml</a>. Tests hold the server to it.</p>
  </footer>
</body>
</html>
"""


def inline(text):
    """Markdown within a line: code, bold."""
    text = html.escape(text, quote=False)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)


def element(tag, *children):
    return f"<{tag}>{''.join(children)}</{tag}>"


def table(head, rows):
    """A table of HTML cells. The first cell of a row is its header. A wide table scrolls."""
    cells = "".join(f'<th scope="col">{text}</th>' for text in head)
    body = "".join(
        element("tr", f'<th scope="row">{first}</th>', *(element("td", text) for text in rest))
        for first, *rest in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def markdown(text):
    """The Markdown that openapi.yaml uses: paragraphs and tables."""
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip()):
        if block.startswith("|"):
            head, _, *rows = [
                [inline(cell.strip()) for cell in line.strip().strip("|").split("|")]
                for line in block.splitlines()
            ]
            blocks.append(table(head, rows))
        else:
            blocks.append(element("p", inline(" ".join(block.split()))))
    return "".join(blocks)


class Document:
    def __init__(self, doc):
        self.doc = doc

    def resolve(self, node):
        """`node`, or the target of its $ref together with the other members of `node`."""
        while isinstance(node, dict) and "$ref" in node:
            beside = {key: value for key, value in node.items() if key != "$ref"}
            target = self.doc
            for name in node["$ref"].removeprefix("#/").split("/"):
                target = target[name.replace("~1", "/").replace("~0", "~")]
            node = {**target, **beside}
        return node

    def type_of(self, schema):
        """A schema in a few words."""
        schema = self.resolve(schema)
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return " or ".join(dict.fromkeys(map(self.type_of, schema[key])))
        if "const" in schema:
            return element("code", html.escape(json.dumps(schema["const"])))
        if "enum" in schema:
            return ", ".join(element("code", html.escape(json.dumps(v))) for v in schema["enum"])
        kinds = schema.get("type", "any")
        kinds = kinds if isinstance(kinds, list) else [kinds]
        words = [
            f"array of {self.type_of(schema.get('items', {}))}" if kind == "array" else kind
            for kind in kinds
        ]
        return " or ".join(words) + self.range_of(schema)

    @staticmethod
    def range_of(schema):
        low, high = schema.get("minimum"), schema.get("maximum")
        if low is not None and high is not None:
            return f", {low:g} to {high:g}"
        return f", from {low:g}" if low is not None else ""

    def fields(self, schema, remarks, prefix=""):
        """Rows (name, type, description) of the fields of an object, with nested fields.
        `remarks`: {True: remark on required fields, False: remark on the others}."""
        schema = self.resolve(schema)
        named = list(schema.get("properties", {}).items())
        named += [("…", own) for own in schema.get("patternProperties", {}).values()]
        for name, own in named:
            field = self.resolve(own)
            text = markdown(field["description"]) if "description" in field else ""
            if remark := remarks[name in schema.get("required", [])]:
                text += element("p", element("small", remark))
            if "default" in field:
                default = html.escape(json.dumps(field["default"]))
                text += element("p", element("small", f"default <code>{default}</code>"))
            yield f"<code>{prefix}{html.escape(name)}</code>", self.type_of(field), text
            inner = self.resolve(field.get("items", field))
            if "properties" in inner:
                below = f"{prefix}{name}{'[]' if 'items' in field else ''}."
                yield from self.fields(inner, remarks, below)

    def body(self, content, title, remarks):
        """The fields of a body, for each of its media types."""
        parts = []
        for media_type, media in content.items():
            parts.append(element("h3", title, f" <small>{html.escape(media_type)}</small>"))
            schema = self.resolve(media.get("schema", {}))
            rows = list(self.fields(schema, remarks))
            if rows:
                parts.append(table(["Field", "Type", "Meaning"], rows))
            elif "description" in schema:
                parts.append(markdown(schema["description"]))
        return "".join(parts)

    def curl(self, path, operation, server):
        """The examples of a request as shell commands."""
        for own in map(self.resolve, operation.get("parameters", [])):
            path = path.replace(f"{{{own['name']}}}", own["schema"].get("examples", [""])[0])
        content = operation.get("requestBody", {}).get("content", {})
        examples = content.get("application/json", {}).get("examples", {})
        for example in examples.values():
            text = json.dumps(example["value"], ensure_ascii=False).replace("'", "'\\''")
            summary = inline(example.get("summary", "Example."))
            line = html.escape(f"curl {server}{path} --json '{text}'", quote=False)
            yield f'<p>{summary}</p><pre class="example" tabindex="0"><code>{line}</code></pre>'

    def codes(self, response):
        """The problem codes of an error."""
        problem = response.get("content", {}).get("application/problem+json", {}).get("schema", {})
        for part in problem.get("allOf", []):
            code = part.get("properties", {}).get("code", {})
            yield from code.get("enum", [code["const"]] if "const" in code else [])

    def statuses(self, responses):
        rows = []
        for status, response in responses.items():
            response = self.resolve(response)
            codes = ", ".join(element("code", code) for code in self.codes(response))
            rows.append((element("code", status), codes, markdown(response["description"])))
        return element("h3", "Statuses") + table(["Status", "Code", "Meaning"], rows)

    def operation(self, path, method, operation):
        own_id = operation["operationId"]
        parts = [
            f'<section class="panel" id="{own_id}" aria-labelledby="{own_id}-title">',
            f'<h2 id="{own_id}-title"><span class="method">{method.upper()}</span> '
            f"<code>{html.escape(path)}</code></h2>",
            element("p", element("strong", inline(operation.get("summary", "")))),
            markdown(operation.get("description", "")) if "description" in operation else "",
        ]
        parts += self.curl(path, operation, self.doc["servers"][0]["url"])
        if "requestBody" in operation:
            body = self.resolve(operation["requestBody"])
            parts.append(self.body(body["content"], "Request", {True: "required", False: ""}))
        parameters = [self.resolve(own) for own in operation.get("parameters", [])]
        if parameters:
            rows = [
                (
                    f'<code>{html.escape(own["name"])}</code> <small>{own["in"]}</small>',
                    self.type_of(own["schema"]),
                    markdown(own["description"]) if "description" in own else "",
                )
                for own in parameters
            ]
            parts.append(element("h3", "Parameters") + table(["Name", "Type", "Meaning"], rows))
        if "200" in operation["responses"]:
            good = self.resolve(operation["responses"]["200"])
            remarks = {True: "", False: "optional"}
            parts.append(self.body(good.get("content", {}), "Answer", remarks))
        parts.append(self.statuses(operation["responses"]))
        return "\n".join(parts) + "</section>"

    def page(self):
        info = self.doc["info"]
        operations = [
            (path, method, operation)
            for path, item in self.doc["paths"].items()
            for method, operation in item.items()
            if method in ("get", "post", "put", "delete")
        ]
        toc = "".join(
            f'<li><a href="docs#{own["operationId"]}">'
            f"<code>{method.upper()} {html.escape(path)}</code></a></li>"
            for path, method, own in operations
        )
        title = html.escape(f"{info['title']} {info['version']}: the API")
        general = markdown(info["description"])
        intro = [
            f'<div class="hero"><h1>{title}</h1><p>{inline(info["summary"])}</p></div>',
            f'<ul class="toc" id="paths">{toc}</ul>',
            f'<section class="panel" aria-label="In general">{general}</section>',
        ]
        return PAGE % "\n".join(intro + [self.operation(*own) for own in operations])


if __name__ == "__main__":
    document = Document(yaml.safe_load(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")))
    pathlib.Path(sys.argv[2]).write_text(document.page(), encoding="utf-8")
