#!/usr/bin/python3
"""A rolling restart behind a real proxy (deploy/rolling/try) fails no request."""
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

from elmod import Elmod

BINARY = os.environ["ELMOD_BINARY"]
DEPLOY = pathlib.Path(os.environ["ELMOD_SOURCE_ROOT"], "deploy")

sys.path.insert(0, str(DEPLOY))
from load import Load  # noqa: E402


class Rolling(unittest.TestCase):
    def check(self, proxy):
        if not shutil.which(proxy) and os.environ.get("CI") != "true":
            self.skipTest(f"{proxy} is not installed")
        done = subprocess.run(
            [DEPLOY / "rolling/try", "--elmod", BINARY, "--instances", "2", "--clients", "4"]
            + ["--proxy", proxy, "--", "--threads", "1"],
            env={name: value for name, value in os.environ.items() if "ELMOD_" not in name},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((0, ""), (done.returncode, done.stderr), done.stdout)
        self.assertRegex(done.stdout, r"\n[1-9]\d* requests, 0 failed, ")

    def test_behind_haproxy(self):
        self.check("haproxy")

    def test_behind_nginx(self):
        self.check("nginx")

    @unittest.skipUnless(shutil.which("haproxy"), "haproxy is not installed")
    def test_haproxy_accepts_its_file(self):
        command = ["haproxy", "-c", "-f", DEPLOY / "rolling/haproxy.cfg"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertNotRegex(done.stdout + done.stderr, "WARNING|ALERT")


class Failures(unittest.TestCase):
    """The clients of the trial count these as failures."""

    def test_a_refused_request(self):
        with Elmod(BINARY, "--max-inputs", 1) as elmod:
            with Load((elmod.host, elmod.port), 1) as load:
                while not load.failures and load.n_requests() < 1000:
                    load.stopping.wait(0.01)
        self.assertIn("413 too_many_inputs", load.report())

    def test_another_answer(self):
        load = Load(("127.0.0.1", 1), 0)
        for body in (b"1", b"1", b"2"):
            load.count(("/embed", b"{}"), (200, body), 0.001)
        self.assertEqual(1, load.failures.total())

    def test_a_refused_connection(self):
        with Elmod(BINARY) as elmod:
            address = elmod.host, elmod.port
        with Load(address, 1) as load:
            while not load.n_requests():
                load.stopping.wait(0.01)
        self.assertIn("ConnectionRefusedError", load.report())


if __name__ == "__main__":
    unittest.main()
