#!/usr/bin/python3
"""deploy/install waits while another apt holds a lock. It uses this machine's apt with a folder of its own, a
repository of one package, and a replacement of dpkg that only records its arguments."""
import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(os.environ["ELMOD_SOURCE_ROOT"])
PATIENCE_S = 120  # reached only if something is broken
PACKAGE = "elmod-test-package"
CONFIG = """
Dir "{folder}";
Dir::State "state";
Dir::State::status "{folder}/dpkg/status";
Dir::Cache "cache";
Dir::Etc "etc";
Dir::Log "log";
Dir::Bin::dpkg "{folder}/bin/dpkg";
APT::Sandbox::User "";
"""
CONTROL = f"""Package: {PACKAGE}
Version: 1
Architecture: all
Maintainer: nobody <nobody@example.org>
Description: nothing
"""
LOCKS = {  # lock file: the command that waits for it
    "dpkg/lock-frontend": "apt-get install",
    "dpkg/lock": "dpkg",
    "state/lists/lock": "apt-get update",
    "cache/archives/lock": "apt-get download",
}


def write_program(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
    path.chmod(0o755)


def make_repository(folder):
    (folder / "package/DEBIAN").mkdir(parents=True)
    (folder / "package/DEBIAN/control").write_text(CONTROL, encoding="ascii")
    deb = folder / "package.deb"
    command = ["dpkg-deb", "--root-owner-group", "--build", folder / "package", deb]
    subprocess.run(command, check=True, capture_output=True)
    blob = deb.read_bytes()
    (folder / "Packages").write_text(
        f"{CONTROL}Filename: ./package.deb\nSize: {len(blob)}\n"
        f"SHA256: {hashlib.sha256(blob).hexdigest()}\n",
        encoding="ascii",
    )


def make_apt(folder):
    for name in ("dpkg/updates", "state/lists/partial", "cache/archives/partial", "log"):
        (folder / name).mkdir(parents=True)
    for name in ("etc/apt.conf.d", "etc/preferences.d"):
        (folder / name).mkdir(parents=True)
    (folder / "dpkg/status").touch()
    source = f"deb [trusted=yes] file:{folder}/repository ./\n"
    (folder / "etc/sources.list").write_text(source, encoding="utf-8")
    (folder / "apt.conf").write_text(CONFIG.format(folder=folder), encoding="utf-8")
    write_program(folder / "bin/dpkg", f'echo "$@" >>"{folder}/dpkg.log"')
    write_program(folder / "bin/sudo", 'exec "$@"')


@unittest.skipUnless(shutil.which("apt-get"), "apt is not installed")
class Locks(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="elmod-install-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        make_repository(self.folder / "repository")
        make_apt(self.folder)
        (self.folder / "packages.txt").write_text(f"test {PACKAGE}\n", encoding="ascii")
        self.put_script(lambda text: text)

    def put_script(self, change):
        text = (ROOT / "deploy/install").read_text(encoding="utf-8")
        (self.folder / "install").write_text(change(text), encoding="utf-8")

    @contextlib.contextmanager
    def locked(self, name):
        with open(self.folder / name, "w", encoding="ascii") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            yield

    def start(self):
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        process = subprocess.Popen(
            ["bash", self.folder / "install", "test"],
            env=os.environ | {"APT_CONFIG": str(self.folder / "apt.conf"), "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertEqual(f"Installing: {PACKAGE}\n", process.stdout.readline())
        return process

    def was_installed(self):
        log = self.folder / "dpkg.log"
        return log.exists() and "--unpack" in log.read_text(encoding="utf-8")

    def check_the_end(self, process):
        """It installed the package and printed nothing else about locks."""
        said = process.communicate(timeout=PATIENCE_S)[0]
        self.assertEqual(0, process.returncode, said)
        self.assertNotRegex(said, "Waiting|lock")
        self.assertTrue(self.was_installed())

    def test_without_another_apt_it_prints_nothing_about_locks(self):
        process = self.start()
        self.check_the_end(process)

    def test_it_waits_for_each_lock_and_says_so_once(self):
        for name, holder in LOCKS.items():
            with self.subTest(holder):
                (self.folder / "dpkg.log").unlink(missing_ok=True)
                shutil.rmtree(self.folder / "state/lists")
                (self.folder / "state/lists/partial").mkdir(parents=True)
                with self.locked(name):
                    process = self.start()
                    said = process.stdout.readline()
                    self.assertIn("Waiting for another apt for at most 300 s: Could not get lock ", said)
                    self.assertIn(f"{self.folder}/{name}", said)
                    with self.assertRaises(subprocess.TimeoutExpired):
                        process.wait(1.5)  # it tries again and still waits
                    self.assertFalse(self.was_installed())
                self.check_the_end(process)

    def test_it_gives_up_at_last(self):
        self.put_script(lambda text: text.replace("patience_s=300", "patience_s=1"))
        with self.locked("dpkg/lock-frontend"):
            process = self.start()
            said = process.communicate(timeout=PATIENCE_S)[0]
        self.assertEqual(1, process.returncode)
        self.assertIn("at most 1 s", said)
        self.assertIn("still has a lock after 1 s", said)
        self.assertFalse(self.was_installed())

    def test_another_error_is_reported_at_once(self):
        (self.folder / "repository/package.deb").unlink()
        process = self.start()
        said = process.communicate(timeout=PATIENCE_S)[0]
        self.assertNotEqual(0, process.returncode)
        self.assertIn("package.deb", said)
        self.assertNotIn("Waiting", said)


if __name__ == "__main__":
    unittest.main()
