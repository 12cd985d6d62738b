#!/usr/bin/python3
"""The last stage of the image, made from this build: deploy/collect finds all files that elmod loads, and
deploy/image/run starts them as a container with the user, health check and limits of the Dockerfile.
(deploy/image/build makes the whole image, but takes a minute and downloads Debian's packages.)"""
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile
import unittest

BINARY = os.environ["ELMOD_BINARY"]
ROOT = pathlib.Path(os.environ["ELMOD_SOURCE_ROOT"])


def config():
    """The settings of the Dockerfile's last stage in the form of `docker save`."""
    stage = (ROOT / "Dockerfile").read_text(encoding="utf-8").rpartition("FROM scratch")[2]
    stage = stage.replace("\\\n", " ")

    def said(word):
        return re.search(rf"^{word} +(.+)$", stage, re.MULTILINE)[1]

    return {
        "config": {
            "User": said("USER"),
            "Env": re.findall(r"^ENV (\S+=\S+)$", stage, re.MULTILINE),
            "Entrypoint": json.loads(said("ENTRYPOINT")),
            "Healthcheck": {"Test": ["CMD", *json.loads(said("HEALTHCHECK .* CMD"))]},
        }
    }


def add_text(tar, name, text):
    member = tarfile.TarInfo(name)
    member.size = len(text.encode())
    tar.addfile(member, io.BytesIO(text.encode()))


def as_root(member):
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def make_archive(folder):
    """Writes the archive in the form of `docker save`."""
    image = folder / "image"
    subprocess.run([ROOT / "deploy/collect", BINARY, image], check=True)
    (image / "usr/local/bin").mkdir(parents=True)
    # deploy/collect keeps the path of the program, which must be that of the Dockerfile.
    (image / BINARY.lstrip("/")).rename(image / "usr/local/bin/elmod")
    with tarfile.open(folder / "layer.tar", "w") as layer:
        layer.add(image, arcname=".", filter=as_root)
    with tarfile.open(folder / "archive.tar", "w") as archive:
        manifest = [{"Config": "config.json", "Layers": ["layer.tar"]}]
        add_text(archive, "manifest.json", json.dumps(manifest))
        add_text(archive, "config.json", json.dumps(config()))
        archive.add(folder / "layer.tar", arcname="layer.tar")
    return folder / "archive.tar"


def unshare_fault():
    """The reason why root cannot make namespaces and mount in them; empty if it can."""
    command = ["unshare", "--mount", "--ipc", "--uts", "--pid", "--fork", "mount", "-t", "proc"]
    done = subprocess.run([*command, "proc", "/proc"], capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""


UNSHARE_FAULT = unshare_fault()


@unittest.skipUnless(os.geteuid() == 0, "to start a container without a daemon needs root")
class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="elmod-image-")
        cls.addClassCleanup(folder.cleanup)
        cls.archive = make_archive(pathlib.Path(folder.name))

    def check(self, *options):
        done = subprocess.run(
            [ROOT / "deploy/image/run", self.archive, "--starts", "1", "--seconds", "1"]
            + ["--cpus", "1", "--clients", "3", *options],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((0, ""), (done.returncode, done.stderr), done.stdout)
        self.assertIn("Everything holds.", done.stdout)
        return done.stdout

    @unittest.skipUnless(shutil.which("crun") or shutil.which("runc"), "neither crun nor runc is installed")
    def test_it_runs_by_crun_or_runc(self):
        self.check()

    @unittest.skipIf(UNSHARE_FAULT, UNSHARE_FAULT)
    def test_it_runs_by_unshare(self):
        self.assertIn("Run by unshare and chroot", self.check("--with", "unshare"))


if __name__ == "__main__":
    unittest.main()
