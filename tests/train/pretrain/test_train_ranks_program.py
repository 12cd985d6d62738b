#!/usr/bin/python3
"""elmo-train pretrain with the ranks of mpirun, on a small text: what the ranks of a run share, and how
it stops, fails and goes on."""
import csv
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import unittest

TRAIN = os.environ["ELMO_TRAIN"]
MPIRUN = os.environ.get("MPIRUN", "").split()  # with options; none: built without MPI
ROOT = pathlib.Path(os.environ["ELMOD_SOURCE_ROOT"])
PRETRAIN_RANKS = ROOT / "deploy/pretrain/pretrain-ranks"
WAIT_S = 100  # for what takes seconds
TEXT = "The film was long . I liked the end of it .\nShe sat on the bank and read the book again .\n"
OPTIONS = {
    "lstm": {
        "cell_clip": 3,
        "proj_clip": 3,
        "use_skip_connections": True,
        "n_layers": 1,
        "projection_dim": 8,
        "dim": 12,
    },
    "char_cnn": {
        "embedding": {"dim": 4},
        "filters": [[1, 4], [3, 12]],
        "n_highway": 1,
        "n_characters": 262,
        "max_characters_per_token": 20,
        "activation": "relu",
    },
}
FILES = "--corpus corpus.txt --heldout heldout.txt --vocab vocab.txt --options options.json".split()
SMALL = "--samples 8 --batch-tokens 64 --threads 1 --average 0.9 --quiet".split()
# Long enough for a signal in the middle of it, with a checkpoint every 60 ms.
LONG = ["--tokens", "60000", "--checkpoint-minutes", "0.001"]
CHECKPOINT = "checkpoint.safetensors"


def checkpoint(path):
    """Its train_state, and the bytes of each tensor. The metadata differs from run to run: it has the
    seconds."""
    data = path.read_bytes()
    n_header = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n_header])
    state = json.loads(header.pop("__metadata__")["train_state"])
    body = data[8 + n_header :]
    tensors = {}
    for name, tensor in header.items():
        begin, end = tensor["data_offsets"]
        tensors[name] = (tensor["dtype"], tensor["shape"], body[begin:end])
    return state, tensors


def descendants(pid):
    try:
        lists = [path.read_text() for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return
    for child in (int(word) for text in lists for word in text.split()):
        yield child
        yield from descendants(child)


def ranks_below(pid):
    """The processes that mpirun started, by rank."""
    ranks = {}
    for process in descendants(pid):
        try:
            environ = pathlib.Path(f"/proc/{process}/environ").read_bytes()
        except OSError:
            continue
        found = re.search(rb"(?:^|\0)OMPI_COMM_WORLD_RANK=(\d+)", environ)
        if found:
            ranks[int(found[1])] = process
    return ranks


class Program(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if MPIRUN:
            return
        reason = "ranks need libopenmpi-dev for the build, and openmpi-bin"
        if os.environ.get("CI") == "true":
            raise AssertionError(reason)
        raise unittest.SkipTest(reason)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        self.stand_in("mpirun", f'exec {" ".join(MPIRUN)} "$@"')
        self.stand_in("elmo-train", f'exec {TRAIN} "$@"')
        for name in ("corpus.txt", "heldout.txt"):
            (self.folder / name).write_text(TEXT * 5, encoding="utf-8")
        (self.folder / "options.json").write_text(json.dumps(OPTIONS), encoding="utf-8")
        self.succeeds([TRAIN, "vocab", "--corpus", "corpus.txt", "--out", "vocab.txt", "--quiet"])

    def stand_in(self, name, script):
        path = self.bin / name
        path.write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def start(self, command):
        job = subprocess.Popen(
            command,
            cwd=self.folder,
            env=os.environ | {"PATH": f"{self.bin}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(job.stdout.close)
        self.addCleanup(job.stderr.close)
        self.addCleanup(job.wait)
        self.addCleanup(self.kill_ranks, job)
        return job

    @staticmethod
    def kill_ranks(job):
        """Of a job that should have ended."""
        if job.poll() is None:
            for pid in ranks_below(job.pid).values():
                os.kill(pid, signal.SIGKILL)

    @staticmethod
    def end_of(job):
        """Exit status, output, and what it said."""
        out, err = job.communicate(timeout=WAIT_S)
        return job.returncode, out, err

    def succeeds(self, command):
        status, out, err = self.end_of(self.start(command))
        self.assertEqual((0, ""), (status, err))
        return out

    @staticmethod
    def pretrain(n_ranks, out, *arguments):
        ranks = ["mpirun", "-n", str(n_ranks)] if n_ranks > 1 else []
        return [*ranks, "elmo-train", "pretrain", "--out", out, *FILES, *SMALL, *arguments]

    def checkpoint(self, out):
        return checkpoint(self.folder / out / CHECKPOINT)

    def curve(self, out):
        with open(self.folder / out / "curve.csv", encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            return [{name: float(x) for name, x in row.items() if x} for row in rows]

    def assert_same_tensors(self, out, expected):
        _, tensors = self.checkpoint(out)
        _, wanted = self.checkpoint(expected)
        self.assertEqual(list(wanted), list(tensors))
        self.assertEqual([], [name for name in wanted if tensors[name] != wanted[name]])


class Shared(Program):
    def test_two_ranks_write_as_one_and_the_same_again(self):
        """Rank 1 is in a folder of its own, where it would write."""
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        for name in ("corpus.txt", "heldout.txt", "vocab.txt", "options.json"):
            (elsewhere / name).symlink_to(self.folder / name)
        before = sorted(elsewhere.iterdir())
        self.stand_in(
            "elmo-train", f'[[ $OMPI_COMM_WORLD_RANK != 1 ]] || cd elsewhere; exec {TRAIN} "$@"'
        )
        for out in ("run", "again"):
            self.succeeds(self.pretrain(2, out, "--tokens", "5000", "--eval-tokens", "1000"))
            self.assertEqual(before, sorted(elsewhere.iterdir()))
        steps = [point["step"] for point in self.curve("run")]
        self.assertEqual(sorted(set(steps)), steps)
        self.assertGreaterEqual(len(steps), 6)
        self.assert_same_tensors("again", "run")
        self.succeeds(self.pretrain(1, "single", "--tokens", "5000"))
        names = sorted(path.name for path in (self.folder / "single").iterdir())
        self.assertEqual(names, sorted(path.name for path in (self.folder / "run").iterdir()))

    def first_epoch(self, out):
        return [point for point in self.curve(out) if 0 < point["epoch"] <= 1]

    def test_an_epoch_is_shared_out(self):
        """Each of its batches is one rank's, the last round's too."""
        for n in (1, 2, 3):
            self.succeeds(self.pretrain(n, f"run{n}", "--tokens", "130", "--eval-tokens", "1"))
        single = self.first_epoch("run1")
        self.assertTrue(len(single) % 3, "choose another text: 3 ranks share its batches evenly")
        for n in (2, 3):
            points = self.first_epoch(f"run{n}")
            ends = single[n - 1 :: n]
            if len(single) % n:
                ends.append(single[-1])
            for name in ("tokens", "epoch"):
                self.assertEqual([end[name] for end in ends], [point[name] for point in points])

    def test_held_out_perplexity_is_that_of_the_whole_text(self):
        for n in (2, 3):
            with self.subTest(n):
                out = f"run{n}"
                self.succeeds(self.pretrain(n, out, "--tokens", "10000"))
                *_, point = self.curve(out)
                where = ["--checkpoint", f"{out}/{CHECKPOINT}", "--corpus", "heldout.txt"]
                text = self.succeeds([TRAIN, "eval", *where])
                found = dict(line.split() for line in text.splitlines())
                for name, key in (
                    ("perplexity_forward", "perplexity_forward"),
                    ("perplexity_backward", "perplexity_backward"),
                    ("perplexity", "perplexity_joint"),
                ):
                    expected = float(found[key])
                    self.assertAlmostEqual(expected, point[name], delta=1e-4 * expected)

    def check_differs(self, out, words, command):
        """Rank 1 has other words than those of the command."""
        self.stand_in(
            "elmo-train",
            f'[[ $OMPI_COMM_WORLD_RANK != 1 ]] || set -- {words}; exec {TRAIN} "$@"',
        )
        status, _, said = self.end_of(self.start(command))
        self.assertEqual(2, status, said)
        self.assertIn("rank 1 has another state than rank 0", said)
        self.assertIn("all ranks need the same program, options and files", said)
        self.assertFalse((self.folder / out / CHECKPOINT).exists())

    def test_ranks_that_differ_do_not_train(self):
        (self.folder / "other.txt").write_text(TEXT * 6, encoding="utf-8")
        cases = (
            '"$@" --seed 2',
            '"$@" --learning-rate 0.01',
            '"$@" --tokens 2000',
            '"$@" --no-decay',
            '"$@" --eval-tokens 50',
            '"$@" --tokenizer whitespace',
            '"${@/corpus.txt/corpus.txt:2}"',
            '"${@/corpus.txt/other.txt}"',
            '"${@/heldout.txt/other.txt}"',
        )
        for number, words in enumerate(cases):
            with self.subTest(words):
                out = f"run{number}"
                self.check_differs(out, words, self.pretrain(2, out, "--tokens", "1000"))

    def test_ranks_with_other_weights_do_not_train(self):
        for name in ("a", "b"):
            self.succeeds(self.pretrain(1, name, "--tokens", "500", "--seed", str(ord(name))))
            files = ["--checkpoint", f"{name}/{CHECKPOINT}", "--softmax", f"{name}.softmax"]
            self.succeeds(
                [TRAIN, "export", *files, "--out", f"{name}.model", "--name", "m", "--quiet"]
            )
        start = ["--init", "a.model", "--init-softmax", "a.softmax"]
        command = self.pretrain(2, "run", "--tokens", "1000", *start)
        self.check_differs("run", '"${@/a.softmax/b.softmax}"', command)


class Stopped(Program):
    def setUp(self):
        super().setUp()
        self.succeeds(self.pretrain(2, "whole", *LONG))

    def wait_for_training(self, job):
        """Until there is a checkpoint of steps of this job; returns the ranks."""
        path = self.folder / "run" / CHECKPOINT
        end_s = time.monotonic() + WAIT_S
        while not path.exists() or not checkpoint(path)[0]["n_steps"]:
            self.assertIsNone(job.poll())
            self.assertLess(time.monotonic(), end_s)
            time.sleep(0.01)
        ranks = ranks_below(job.pid)
        self.assertEqual([0, 1], sorted(ranks))
        return ranks

    def check_goes_on(self):
        """From the middle, to what a run that did not stop ends with."""
        state, _ = self.checkpoint("run")
        whole, _ = self.checkpoint("whole")
        self.assertTrue(0 < state["n_tokens"] < whole["n_tokens"])
        self.succeeds(self.pretrain(2, "run", *LONG, "--resume"))
        self.assert_same_tensors("run", "whole")
        state, _ = self.checkpoint("run")
        for name in ("n_steps", "n_tokens", "epoch", "stages"):
            self.assertEqual(whole[name], state[name])

    def check_stops(self, job, said=""):
        self.assertEqual((0, "", said), self.end_of(job))
        self.assertTrue(self.checkpoint("run")[0]["n_steps"])
        self.check_goes_on()

    def test_sigterm_to_rank_0_stops_all(self):
        job = self.start(self.pretrain(2, "run", *LONG))
        os.kill(self.wait_for_training(job)[0], signal.SIGTERM)
        self.check_stops(job)

    def test_sigterm_to_rank_1_stops_all(self):
        job = self.start(self.pretrain(2, "run", *LONG))
        os.kill(self.wait_for_training(job)[1], signal.SIGTERM)
        self.check_stops(job)

    def test_sigusr1_to_mpirun_stops_all(self):
        job = self.start(self.pretrain(2, "run", *LONG))
        self.wait_for_training(job)
        job.send_signal(signal.SIGUSR1)
        self.check_stops(job, "mpirun: Forwarding signal 10 to job\n")

    def check_lost(self, rank):
        """With the script of deploy/, which says how to go on."""
        command = [PRETRAIN_RANKS, "run", *FILES, *SMALL, *LONG]
        self.stand_in("mpirun", f'exec {" ".join(MPIRUN)} -n 2 "$@"')
        job = self.start(command)
        os.kill(self.wait_for_training(job)[rank], signal.SIGKILL)
        status, _, said = self.end_of(job)
        self.assertEqual(137, status, said)
        self.assertIn(f"process rank {rank}", said)
        self.assertIn("the run ended with status 137", said)
        self.assertIn("continues from the last checkpoint in run", said)
        self.stand_in("mpirun", f'exec {" ".join(MPIRUN)} "$@"')
        self.check_goes_on()

    def test_a_run_that_lost_rank_0_goes_on(self):
        self.check_lost(0)

    def test_a_run_that_lost_rank_1_goes_on(self):
        self.check_lost(1)


if __name__ == "__main__":
    unittest.main()
