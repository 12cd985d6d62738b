#!/usr/bin/python3
"""Holds the code to the layers of its folders, by the #include lines and a few forbidden calls.

server/ sees include/ alone of what is below it; model/ knows nothing of server/; a library is named
by the few sources that are listed for it. The first tests show the checker failing on trees made wrong.
"""
import os
import pathlib
import re
import tempfile
import unittest
from fnmatch import fnmatchcase

ROOT = pathlib.Path(os.environ.get("ELMOD_SOURCE_ROOT", pathlib.Path(__file__).parents[1]))

# Folder: folders whose headers it may include with quotes. The longest matching folder counts.
MAY_INCLUDE = {
    "include": ["include"],
    "model": ["include", "model", "model/kernels"],
    "model/kernels": ["include", "model/kernels"],
    "model/convert": ["include", "model", "model/convert"],
    "model/tools": ["include", "model", "model/tools"],
    "model/embed": ["include", "model", "model/convert", "model/tools", "model/embed"],
    "model/train": ["include", "model", "model/convert", "model/kernels", "model/tools",
                    "model/train"],
    "server": ["include", "server"],
}

# All there is beside dotfiles and build folders. Meson wants its options in a file of their own.
TOP_LEVEL = {"Dockerfile", "LICENSE", "README.md", "deploy", "include", "meson.build",
             "meson_options.txt", "model", "openapi.yaml", "server", "tests"}

# Header of a library (a pattern): the sources (patterns) that may name it, beside tests/.
LIBRARY_USERS = {
    "cblas.h": ["model/kernels/linear.c", "model/train/real.h"],
    "gnutls/*": ["server/tls.[ch]", "server/tls_client.c"],
    "hdf5.h": ["model/convert/hdf5_handle.h"],
    "hdf5_handle.h": ["model/convert/hdf5_*.c", "model/embed/hdf5_*"],
    "jansson.h": ["model/*", "server/config.c", "server/request_internal.h"],
    "lzma.h": ["model/tools/text_source.c"],
    "microhttpd.h": ["server/http*.c"],
    "mpi.h": ["model/train/ranks_mpi.c"],
    "nettle/*": ["model/sha256.h", "server/api_keys.c"],
    "unicase.h": ["model/word_vectors.c"],
    "unictype.h": ["model/tokenize.c"],
    "unistr.h": [
        "model/tokenize.c",
        "model/train/labelled.c",
        "model/train/senses.c",
        "model/train/vocab.c",
        "model/word_vectors_text.c",
        "server/json_write.c",
    ],
    "uniwbrk.h": ["model/tokenize.c"],
    "zlib.h": ["model/tools/text_source.c", "server/encoder.c", "server/inflate.c"],
    "zstd.h": ["server/encoder.c"],
}

# Headers of C, POSIX and the compiler, which any source may name, without ".h".
SYSTEM = set("""
    arpa/inet assert cpuid dirent errno fcntl float getopt immintrin inttypes limits malloc math netdb poll
    pthread sched semaphore signal stdarg stdatomic stdbool stddef stdint stdio stdlib string strings
    sys/file sys/ioctl sys/mman sys/random sys/resource sys/socket sys/stat sys/syscall sys/time
    sys/types sys/un
    time unistd
""".split())

# The library below the server returns statuses: it neither prints nor ends the process.
LIBRARY_SOURCES = r"model/[^/]*\.[ch]|model/kernels/.*"
FORBIDDEN_IN_LIBRARY = r"\b(_?exit|abort|v?f?printf|f?puts|perror)\s*\("

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)


def folder_rules(folder):
    """The rule of the nearest folder upwards, and the folder it is for; None for tests and such."""
    while folder:
        if folder in MAY_INCLUDE:
            return folder, MAY_INCLUDE[folder]
        folder = folder.rpartition("/")[0]
    return None, None


def header_folder(root, file, header):
    """Where the quoted `header` of `file` lies, or None."""
    beside = file.parent / header
    for candidate in [beside] + [root / folder / header for folder in MAY_INCLUDE]:
        if candidate.is_file():
            return candidate.resolve().parent.relative_to(root).as_posix()
    return None


def users_of(header):
    """The sources that may name the header of a library; None: it is of none."""
    for library, users in LIBRARY_USERS.items():
        if fnmatchcase(header, library):
            return users
    return None


def crossings(root):
    """One line per breach in the tree at `root`."""
    root = root.resolve()
    found = []
    for top in ("include", "model", "server"):
        for file in sorted(root.glob(f"{top}/**/*.[ch]")):
            name = file.relative_to(root).as_posix()
            text = file.read_text(encoding="utf-8")
            home, allowed = folder_rules(file.parent.relative_to(root).as_posix())
            for bracket, header in INCLUDE.findall(text):
                if bracket == '"':
                    where = header_folder(root, file, header)
                    if where != home and where not in allowed:
                        found.append(f'{name}: "{header}" of {where}')
                users = users_of(header)
                if bracket == "<" and users is None and header.removesuffix(".h") not in SYSTEM:
                    found.append(f"{name}: <{header}> of no known library")
                if users is not None and not any(fnmatchcase(name, user) for user in users):
                    found.append(f"{name}: <{header}>")
            if re.fullmatch(LIBRARY_SOURCES, name):
                code = COMMENT_OR_STRING.sub(" ", INCLUDE.sub("", text))
                found += [f"{name}: {word}" for word in re.findall(FORBIDDEN_IN_LIBRARY, code)]
            if name.endswith(".h") and "#pragma once" not in text:
                found.append(f"{name}: no #pragma once")
    return found


class TheChecker(unittest.TestCase):
    def crossings_of(self, **files):
        """The breaches of a tree with server/NAME and so on, given as server__NAME=text."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in {"include__elmo_h": "#pragma once\n", **files}.items():
                path = root / re.sub(r"_([ch])$", r".\1", name.replace("__", "/"))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return crossings(root)

    def test_accepts_a_server_that_sees_the_seam_and_itself(self):
        self.assertEqual(
            [],
            self.crossings_of(
                server__job_h="#pragma once\n",
                server__job_c='#include "job.h"\n#include "elmo.h"\n',
            ),
        )

    def test_refuses_a_server_that_sees_the_model(self):
        self.assertEqual(
            ['server/job.c: "arena.h" of model'],
            self.crossings_of(
                model__arena_h="#pragma once\n", server__job_c='#include "arena.h"\n'
            ),
        )

    def test_refuses_a_model_that_sees_the_server(self):
        self.assertEqual(
            ['model/mix.c: "../server/job.h" of server'],
            self.crossings_of(
                server__job_h="#pragma once\n", model__mix_c='#include "../server/job.h"\n'
            ),
        )

    def test_refuses_a_library_outside_its_place(self):
        self.assertEqual(
            ["model/mix.c: <hdf5.h>", "server/queue.c: <microhttpd.h>"],
            self.crossings_of(
                model__mix_c="#include <hdf5.h>\n",
                server__http_c="#include <microhttpd.h>\n",
                server__queue_c="#include <microhttpd.h>\n",
            ),
        )

    def test_refuses_a_library_that_is_not_known(self):
        self.assertEqual(
            ["server/queue.c: <uv.h> of no known library"],
            self.crossings_of(server__queue_c="#include <stdio.h>\n#include <uv.h>\n"),
        )

    def test_refuses_a_model_that_prints_or_exits(self):
        self.assertEqual(
            ["model/mix.c: exit"],
            self.crossings_of(
                model__mix_c='/* never abort() */ void f(void) { exit(1); g("printf"); }\n'
            ),
        )


class TheTree(unittest.TestCase):
    def test_has_code_in_every_layer(self):
        for folder in ("include", "model", "server"):
            self.assertTrue(list(ROOT.glob(f"{folder}/*.[ch]")), f"no code in {ROOT / folder}")

    def test_keeps_its_layers(self):
        self.assertEqual([], crossings(ROOT))

    def test_has_a_use_for_every_rule(self):
        named = {}  # source: headers
        for top in ("include", "model", "server"):
            for file in ROOT.glob(f"{top}/**/*.[ch]"):
                headers = {header for _, header in INCLUDE.findall(file.read_text("utf-8"))}
                named[file.relative_to(ROOT).as_posix()] = headers
        unused = [folder for folder in MAY_INCLUDE if not (ROOT / folder).is_dir()]
        for library, users in LIBRARY_USERS.items():
            for user in users:
                if not any(
                    fnmatchcase(name, user) and any(fnmatchcase(h, library) for h in headers)
                    for name, headers in named.items()
                ):
                    unused.append(f"{library}: {user}")
        self.assertEqual([], unused)

    def test_keeps_its_top_level(self):
        found = {path.name for path in ROOT.iterdir() if not path.name.startswith((".", "build"))}
        self.assertEqual(TOP_LEVEL, found)


if __name__ == "__main__":
    unittest.main()
