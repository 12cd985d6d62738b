#!/usr/bin/python3
"""deploy/pretrain/long-run with texts of a few lines: it starts, pauses, continues and stops a run, and a
run in another folder continues from the file that it saves."""
import csv
import io
import json
import lzma
import os
import pathlib
import subprocess
import tarfile
import tempfile
import time
import unittest

from test_pretrain import OPTIONS, SMALL

TRAIN = os.environ["ELMO_TRAIN"]
SCRIPT = pathlib.Path(os.environ["ELMOD_SOURCE_ROOT"]) / "deploy/pretrain/long-run"
REVIEW = "A long film , but I liked the end of it .<br />I saw it again .\n"
BOOK = "She sat on the bank of the river and read the book again .\n"


def wait_until(holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s")
        time.sleep(0.05)


class LongRun(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.make_texts()
        cls.make_model()

    @classmethod
    def make_texts(cls):
        texts = cls.folder / "texts"
        texts.mkdir()
        names = ["train/pos/1_8.txt", "train/neg/2_1.txt", "train/unsup/3_0.txt", "test/pos/4_9.txt"]
        names += [f"train/unsup/{k}_0.txt" for k in range(49800, 49803)]
        with tarfile.open(texts / "aclImdb.tar.xz", "w:xz") as archive:
            for name in names:
                text = ("Testing only .\n" if name.startswith("test") else REVIEW * 4).encode()
                info = tarfile.TarInfo("aclImdb/" + name)
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text))
        (texts / "books.txt.xz").write_bytes(lzma.compress((BOOK * 2100).encode()))
        (texts / "books-2.txt.xz").write_bytes(lzma.compress((BOOK * 20).encode()))

    @classmethod
    def make_model(cls):
        (cls.folder / "text.txt").write_text(REVIEW + BOOK, encoding="utf-8")
        (cls.folder / "options.json").write_text(json.dumps(OPTIONS), encoding="utf-8")
        for arguments in (
            ["vocab", "--corpus", "text.txt", "--out", "vocab.txt"],
            ["pretrain", "--corpus", "text.txt", "--heldout", "text.txt", "--vocab", "vocab.txt", "--options"]
            + ["options.json", "--out", "tiny", "--tokens", "200", *SMALL],
            ["export", "--checkpoint", "tiny/checkpoint.safetensors", "--name", "tiny", "--out", "model"]
            + ["--softmax", "softmax"],
        ):
            subprocess.run([TRAIN, *arguments], cwd=cls.folder, check=True, capture_output=True)

    def long_run(self, command, run, *arguments, expected=0, **variables):
        done = subprocess.run(
            [SCRIPT, command, run, *arguments],
            cwd=self.folder,
            env=os.environ | {"ELMO_TRAIN": TRAIN} | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(expected, done.returncode, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def start(self, run, *arguments, **variables):
        self.addCleanup(self.long_run, "stop", run)
        return self.long_run(
            "start", run, "--hours", "1", "--no-decay", "--eval-tokens", "2000", *arguments, **variables
        )

    def curve(self, run):
        try:
            with open(self.folder / run / "run/curve.csv", encoding="utf-8") as rows:
                return list(csv.DictReader(rows))
        except FileNotFoundError:
            return []

    def grows(self, run):
        """Waits for two more points of the curve."""
        n_points = len(self.curve(run))
        wait_until(lambda: len(self.curve(run)) >= n_points + 2)

    def test_a_run_of_many_pieces(self):
        start = {
            "TEXTS": str(self.folder / "texts"),
            "MODEL": str(self.folder / "model"),
            "SOFTMAX": str(self.folder / "softmax"),
            "CELLS": "16",
        }
        self.start("a", *SMALL[:-1], **start)
        self.assertIn("already works", self.long_run("start", "a", expected=1))
        self.grows("a")
        self.assertIn("working", self.long_run("status", "a"))
        self.long_run("pause", "a")
        self.assertIn("paused", self.long_run("status", "a"))
        self.long_run("continue", "a")
        self.grows("a")
        self.long_run("stop", "a")
        self.assertIn("does not run", self.long_run("status", "a"))
        tokens = int(self.curve("a")[-1]["tokens"])
        self.start("a")
        self.grows("a")
        self.long_run("stop", "a")
        self.assertGreater(int(self.curve("a")[-1]["tokens"]), tokens)

        self.long_run("save", "a", "saved")
        self.start("b", TEXTS=start["TEXTS"], START=str(self.folder / "saved"))
        self.start("a")
        for run in ("a", "b"):
            self.grows(run)
            self.long_run("stop", run)
        first = self.curve("b")[0]
        self.assertGreaterEqual(int(first["tokens"]), tokens)
        there = {row["tokens"]: float(row["perplexity"]) for row in self.curve("a")}
        self.assertLess(abs(float(first["perplexity"]) / there[first["tokens"]] - 1), 0.005)

    def test_texts_are_without_the_test_reviews(self):
        self.long_run("start", "c", expected=1)  # no TEXTS
        self.start("c", *SMALL, MODEL=str(self.folder / "model"), SOFTMAX=str(self.folder / "softmax"),
                   TEXTS=str(self.folder / "texts"))
        texts = self.folder / "c/texts"
        self.assertEqual(REVIEW * 12, (texts / "reviews.txt").read_text(encoding="utf-8"))
        self.assertEqual(REVIEW * 12, (texts / "heldout-reviews.txt").read_text(encoding="utf-8"))
        self.assertEqual(BOOK * 100, (texts / "books.txt").read_text(encoding="utf-8"))
        self.assertEqual(BOOK * 2000, (texts / "heldout-books.txt").read_text(encoding="utf-8"))
        self.assertEqual(BOOK * 20, (texts / "books-2.txt").read_text(encoding="utf-8"))


if __name__ == "__main__":
    unittest.main()
