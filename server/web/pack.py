#!/usr/bin/python3
"""Packs the files of the playground into a C source, the table of api/web.h.

usage: pack.py OUT.c FILE...    page.html is served at /, docs.html at /docs, NAME at /web/NAME
"""
import hashlib
import pathlib
import sys

PATHS = {"page.html": "/", "docs.html": "/docs"}
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def array(name, data):
    rows = [", ".join(map(str, data[at : at + 32])) for at in range(0, len(data), 32)]
    return f"static const unsigned char {name}[] = {{\n" + ",\n".join(rows) + "};\n"


def main(out, files):
    arrays, rows = [], []
    for index, file in enumerate(map(pathlib.Path, files)):
        data = file.read_bytes()
        path = PATHS.get(file.name, f"/web/{file.name}")
        etag = f'W/\\"{hashlib.sha256(data).hexdigest()[:16]}\\"'
        arrays.append(array(f"file_{index}", data))
        rows.append(
            f'    {{"{path}", "{MEDIA_TYPES[file.suffix]}", "{etag}", file_{index}, '
            f"sizeof file_{index}}},\n"
        )
    pathlib.Path(out).write_text(
        '#include "api/web.h"\n\n'
        + "".join(arrays)
        + "\nconst struct web_file web_files[] = {\n"
        + "".join(rows)
        + f"}};\nconst size_t web_n_files = {len(rows)};\n",
        encoding="ascii",
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
