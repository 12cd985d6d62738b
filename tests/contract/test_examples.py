#!/usr/bin/python3
"""Runs each of deploy/examples with a real elmod. They must all print the same, and what
deploy/examples/README.md says."""
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from elmod import Elmod

EXAMPLES = pathlib.Path(os.environ["ELMOD_SOURCE_ROOT"]) / "deploy/examples"
README = (EXAMPLES / "README.md").read_text(encoding="utf-8")
ALIKE = re.search(r"verb, verb: \d\.\d+\n *verb, noun: \d\.\d+\n", README)[0].replace("    ", "")


class Examples(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.elmod = cls.enterClassContext(Elmod(os.environ["ELMOD_BINARY"]))
        cls.url = f"http://{cls.elmod.host}:{cls.elmod.port}"

    def run_example(self, *command):
        """Its output."""
        done = subprocess.run(
            [*map(str, command), self.url], capture_output=True, check=False, text=True, timeout=60
        )
        self.assertEqual((0, ""), (done.returncode, done.stderr), done.stdout)
        return done.stdout

    def test_python(self):
        self.assertEqual(ALIKE, self.run_example("/usr/bin/python3", EXAMPLES / "embed.py"))

    def test_node(self):
        self.assertEqual(ALIKE, self.run_example("node", EXAMPLES / "embed.mjs"))

    def test_c(self):
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder, "embed")
            source = EXAMPLES / "embed.c"
            flags = ["-O2", "-Wall", "-Wextra", "-Werror"]
            subprocess.run(
                ["cc", *flags, source, "-lcurl", "-lm", "-o", program], check=True
            )
            self.assertEqual(ALIKE, self.run_example(program))

    def test_curl(self):
        ready, sentiment, vectors, n_bytes, problem = self.run_example(
            EXAMPLES / "curl.sh"
        ).splitlines()
        self.assertEqual('{"status":"ready"}', ready)
        self.assertIn('"label":"positive"', sentiment)
        self.assertEqual("NUMPY: 8320 bytes", vectors)  # 128 of header, 2 x 1024 floats
        self.assertGreater(int(n_bytes), 300 * 1024 * 4)
        self.assertIn('"pointer":"#/inputs/1"', problem)

    def test_every_example_is_in_the_readme(self):
        files = {path.name for path in EXAMPLES.iterdir()} - {"README.md"}
        self.assertEqual(files, set(re.findall(r"\]\(([^/)]+)\)", README)))


if __name__ == "__main__":
    unittest.main()
