#!/usr/bin/python3
"""Holds the code to the layers of its folders, by the #include lines and a few forbidden calls.

A folder includes only folders below it (MAY_INCLUDE); model/ knows nothing of server/, which sees
include/ and model/machine/ of what is below it; a library is named by the few sources that are listed
for it. The first tests show the checker failing on trees made wrong.
"""
import collections
import os
import pathlib
import re
import tempfile
import unittest
from fnmatch import fnmatchcase

ROOT = pathlib.Path(os.environ.get("ELMOD_SOURCE_ROOT", pathlib.Path(__file__).parents[1]))

# Folder: folders whose headers it may include with quotes, beside its own. A folder includes only what is
# above it here; a folder without a row includes nothing, and a row that names what is below it fails.
MAY_INCLUDE = {
    "include": "",
    # The model: text -> floats.
    "model/util": "include",
    "model/machine": "include",
    "model/kernels": "include model/util model/machine",
    "model/file": "include model/util",
    "model/text": "include model/util model/file",
    "model/inference": "include model/util model/kernels model/file model/text",
    "model/word_vectors": "include model/util model/text",
    # The offline programs.
    "model/common": "include",
    "model/convert": "include model/util model/file model/inference model/common",
    "model/embed": """include model/util model/machine model/file model/text model/inference
                      model/common model/convert""",
    "model/train/maths": """include model/util model/machine model/kernels model/file model/text
                            model/inference""",
    "model/train/data": "include model/util model/text model/common model/train/maths",
    "model/train/engine": "include model/util model/common model/train/maths",
    "model/train/bilm": """include model/util model/file model/text model/inference model/common
                           model/train/maths model/train/data""",
    "model/train/pretrain": """include model/util model/machine model/kernels model/file
                               model/text model/common model/train/maths model/train/data model/train/engine
                               model/train/bilm""",
    "model/train/sentiment": """include model/util model/kernels model/file model/text
                                model/inference model/common model/train/maths model/train/data
                                model/train/bilm""",
    "model/train/senses": "include model/util",
    "model/train": """include model/util model/kernels model/file model/text model/inference
                      model/common model/convert model/train/data model/train/engine
                      model/train/bilm model/train/pretrain model/train/sentiment
                      model/train/senses""",
    # The service. Of model/ it sees what asks the machine, and nothing else.
    "server/util": "include",
    "server/text": "model/machine server/util",
    "server/protocol": "include server/util server/text",
    "server/ops": "include model/machine server/util server/text server/protocol",
    "server/body": "include model/machine server/util server/text server/protocol",
    "server/batch": "include model/machine server/util server/ops",
    "server/api": """include server/util server/text server/protocol server/ops server/body
                     server/batch""",
    "server/http": """include server/util server/text server/protocol server/ops server/batch
                      server/api""",
    "server": "include model/machine server/util server/ops server/api server/http",
}

# A folder with more sources than this is to be split.
MAX_SOURCES = 25

# All there is beside dotfiles and build folders. Meson wants its options in a file of their own.
TOP_LEVEL = {"Dockerfile", "LICENSE", "README.md", "deploy", "include", "meson.build",
             "meson_options.txt", "model", "openapi.yaml", "server", "tests"}

# Header of a library (a pattern): the sources (patterns) that may name it, beside tests/.
LIBRARY_USERS = {
    "cblas.h": ["model/kernels/blas.c", "model/train/maths/real.h"],
    "gnutls/*": ["server/http/tls.[ch]", "server/tls_client.c"],
    "hdf5.h": ["model/convert/hdf5_handle.h"],
    "*hdf5_handle.h": ["model/convert/hdf5_*.c", "model/embed/hdf5_*"],
    "jansson.h": ["model/*", "server/ops/config.c", "server/body/request_internal.h"],
    "lzma.h": ["model/common/text_source.c"],
    "microhttpd.h": ["server/http/http*.c"],
    "mpi.h": ["model/train/engine/ranks_mpi.c"],
    "nettle/*": ["model/util/sha256.h", "server/api/api_keys.c"],
    "unicase.h": ["model/word_vectors/word_vectors.c"],
    "unictype.h": ["model/text/tokenize.c"],
    "unistr.h": [
        "model/text/tokenize.c",
        "model/train/data/labelled.c",
        "model/train/senses/senses.c",
        "model/train/data/vocab.c",
        "model/word_vectors/word_vectors_text.c",
        "server/text/json_write.c",
    ],
    "uniwbrk.h": ["model/text/tokenize.c"],
    "zlib.h": ["model/common/text_source.c", "server/protocol/encoder.c", "server/protocol/inflate.c"],
    "zstd.h": ["server/protocol/encoder.c"],
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
LIBRARY_SOURCES = r"model/(util|machine|kernels|file|text|inference|word_vectors)/.*"
FORBIDDEN_IN_LIBRARY = r"\b(_?exit|abort|v?f?printf|f?puts|perror)\s*\("

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)


def may_include(folder):
    """The folders whose headers a source of `folder` may include; None: the folder has no row."""
    return [folder, *MAY_INCLUDE[folder].split()] if folder in MAY_INCLUDE else None


def header_folder(root, file, header):
    """Where the quoted `header` of `file` lies: beside it, or below the root of its tree, or None."""
    top = file.relative_to(root).parts[0]
    for candidate in [file.parent, root / "include", root / top, root / "model"]:
        if (candidate / header).is_file():
            return (candidate / header).resolve().parent.relative_to(root).as_posix()
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
            allowed = may_include(file.parent.relative_to(root).as_posix())
            if allowed is None:
                found.append(f"{name}: its folder has no row")
                continue
            for bracket, header in INCLUDE.findall(text):
                if bracket == '"':
                    where = header_folder(root, file, header)
                    if where not in allowed:
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
    def crossings_of(self, files):
        """The breaches of a tree of these files, given as path: text."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in {"include/elmo.h": "#pragma once\n", **files}.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return crossings(root)

    def test_accepts_what_is_below(self):
        files = {
            "server/util/slice.h": "#pragma once\n",
            "server/batch/job.h": '#pragma once\n#include "util/slice.h"\n',
            "server/batch/job.c": '#include "job.h"\n#include "elmo.h"\n',
        }
        self.assertEqual([], self.crossings_of(files))

    def test_refuses_what_is_above(self):
        files = {
            "server/api/route.h": "#pragma once\n",
            "server/batch/job.c": '#include "api/route.h"\n',
            "model/inference/mix.h": "#pragma once\n",
            "model/kernels/blas.c": '#include "inference/mix.h"\n',
        }
        self.assertEqual(
            [
                'model/kernels/blas.c: "inference/mix.h" of model/inference',
                'server/batch/job.c: "api/route.h" of server/api',
            ],
            self.crossings_of(files),
        )

    def test_refuses_a_sibling_that_has_no_part_in_it(self):
        files = {"server/body/reply.h": "#pragma once\n", "server/batch/job.c": '#include "body/reply.h"\n'}
        self.assertEqual(
            ['server/batch/job.c: "body/reply.h" of server/body'], self.crossings_of(files)
        )

    def test_refuses_a_server_that_sees_the_model(self):
        files = {
            "model/util/arena.h": "#pragma once\n",
            "model/machine/cpus.h": "#pragma once\n",
            "server/batch/job.c": '#include "machine/cpus.h"\n#include "util/arena.h"\n',
        }
        self.assertEqual(
            ['server/batch/job.c: "util/arena.h" of model/util'], self.crossings_of(files)
        )

    def test_refuses_a_model_that_sees_the_server(self):
        files = {
            "server/batch/job.h": "#pragma once\n",
            "model/inference/mix.c": '#include "../../server/batch/job.h"\n',
        }
        self.assertEqual(
            ['model/inference/mix.c: "../../server/batch/job.h" of server/batch'],
            self.crossings_of(files),
        )

    def test_refuses_a_folder_without_a_row(self):
        self.assertEqual(
            ["server/extras/job.c: its folder has no row"],
            self.crossings_of({"server/extras/job.c": "#include <stdio.h>\n"}),
        )

    def test_refuses_a_library_outside_its_place(self):
        files = {
            "model/inference/mix.c": "#include <hdf5.h>\n",
            "server/http/http.c": "#include <microhttpd.h>\n",
            "server/batch/queue.c": "#include <microhttpd.h>\n",
        }
        self.assertEqual(
            ["model/inference/mix.c: <hdf5.h>", "server/batch/queue.c: <microhttpd.h>"],
            self.crossings_of(files),
        )

    def test_refuses_a_library_that_is_not_known(self):
        self.assertEqual(
            ["server/batch/queue.c: <uv.h> of no known library"],
            self.crossings_of({"server/batch/queue.c": "#include <stdio.h>\n#include <uv.h>\n"}),
        )

    def test_refuses_a_model_that_prints_or_exits(self):
        text = '/* never abort() */ void f(void) { exit(1); g("printf"); }\n'
        self.assertEqual(
            ["model/inference/mix.c: exit"], self.crossings_of({"model/inference/mix.c": text})
        )


def sources(pattern="*.[ch]"):
    """The product's files of this name, as paths from the root."""
    return [
        file.relative_to(ROOT)
        for top in ("include", "model", "server")
        for file in sorted(ROOT.glob(f"{top}/**/{pattern}"))
    ]


class TheTree(unittest.TestCase):
    def test_has_code_in_every_folder_of_the_rules(self):
        folders = {file.parent.as_posix() for file in sources()}
        self.assertEqual(set(MAY_INCLUDE), folders)

    def test_rules_name_only_what_is_above_them(self):
        seen = set()
        for folder, below in MAY_INCLUDE.items():
            self.assertLessEqual(set(below.split()), seen, folder)
            seen.add(folder)

    def test_keeps_its_layers(self):
        self.assertEqual([], crossings(ROOT))

    def test_has_a_use_for_every_rule(self):
        named, used = {}, {folder: set() for folder in MAY_INCLUDE}
        for file in sources():
            headers = INCLUDE.findall((ROOT / file).read_text("utf-8"))
            named[file.as_posix()] = {header for _, header in headers}
            used[file.parent.as_posix()] |= {
                header_folder(ROOT, ROOT / file, header) for mark, header in headers if mark == '"'
            }
        unused = [
            f"{folder} includes nothing of {below}"
            for folder, row in MAY_INCLUDE.items()
            for below in set(row.split()) - used[folder]
        ]
        for library, users in LIBRARY_USERS.items():
            for user in users:
                if not any(
                    fnmatchcase(name, user) and any(fnmatchcase(h, library) for h in headers)
                    for name, headers in named.items()
                ):
                    unused.append(f"{library}: {user}")
        self.assertEqual([], unused)

    def test_keeps_folders_small(self):
        counts = collections.Counter(file.parent.as_posix() for file in sources("*.c"))
        counts += collections.Counter(
            file.parent.relative_to(ROOT).as_posix() for file in ROOT.glob("tests/**/*.c")
        )
        self.assertEqual({}, {f: n for f, n in counts.items() if n > MAX_SOURCES})

    def test_gives_a_name_to_one_thing(self):
        homes = collections.defaultdict(set)
        for file in sources():
            if file.parts[0] != "include":  # a header there is of its source in model/
                homes[file.stem].add(file.parent.as_posix())
        homes.pop("main")
        self.assertEqual({}, {name: found for name, found in homes.items() if len(found) > 1})

    def test_keeps_its_top_level(self):
        found = {path.name for path in ROOT.iterdir() if not path.name.startswith((".", "build"))}
        self.assertEqual(TOP_LEVEL, found)


if __name__ == "__main__":
    unittest.main()
