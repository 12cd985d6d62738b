#!/usr/bin/python3
"""Runs elmo-train as deploy/pretrain does, with replacements of srun and mpirun and a small text. Checks that
the page about its cost shows the output of the script that computes it."""
import json
import lzma
import os
import pathlib
import re
import signal
import stat
import subprocess
import tempfile
import time
import unittest

import yaml

TRAIN = os.environ["ELMO_TRAIN"]
VERSION = os.environ["ELMOD_VERSION"]
ROOT = pathlib.Path(os.environ["ELMOD_SOURCE_ROOT"])
PRETRAIN = ROOT / "deploy/pretrain"
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
SMALL = ["--samples", "8", "--batch-tokens", "64", "--quiet"]


class Pretrain(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        self.environment = {"PATH": f"{self.bin}:{os.environ['PATH']}"}
        (self.bin / "elmo-train").symlink_to(TRAIN)
        for name in ("corpus.txt", "heldout.txt"):
            (self.folder / name).write_text(TEXT * 5, encoding="utf-8")
        (self.folder / "corpus.txt.xz").write_bytes(lzma.compress(TEXT.encode() * 5))
        (self.folder / "options.json").write_text(json.dumps(OPTIONS), encoding="utf-8")
        done = self.command(TRAIN, "vocab", "--corpus", "corpus.txt", "--out", "vocab.txt")
        self.assertEqual(0, done.returncode, done.stderr)

    def stand_in(self, name, script):
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def command(self, *arguments, **variables):
        return subprocess.run(
            arguments,
            cwd=self.folder,
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def files(self):
        files = {"corpus": "corpus.txt", "heldout": "heldout.txt", "vocab": "vocab.txt"}
        return [word for name, file in files.items() for word in (f"--{name}", file)] + [
            "--options",
            "options.json",
        ]

    def tokens_trained(self, out):
        *_, last = (self.folder / out / "curve.csv").read_text(encoding="utf-8").splitlines()
        return int(last.split(",")[1])

    def check_runs_and_goes_on(self, *command, **variables):
        """Runs the same command twice, the second time with more tokens, at the same learning rate."""
        for tokens in (1000, 2000):
            done = self.command(
                *command,
                "run",
                *self.files(),
                *SMALL,
                "--no-decay",
                "--tokens",
                str(tokens),
                **variables,
            )
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertTrue(tokens <= self.tokens_trained("run") < tokens + 100)

    def check_failures(self, *command, **variables):
        for arguments in ((), ("--tokens", "5")):
            done = self.command(*command, *arguments, **variables)
            self.assertEqual(2, done.returncode)
            self.assertIn("usage: ", done.stderr)
        done = self.command(*command, "run", "--no-such", **variables)
        self.assertEqual(2, done.returncode)
        self.assertNotIn("the run ended", done.stderr)
        self.stand_in("elmo-train", "kill -KILL $$")
        done = self.command(*command, "run", **variables)
        self.assertEqual(137, done.returncode)
        self.assertIn("the run ended with status 137.", done.stderr)
        self.assertIn("from the last checkpoint in run", done.stderr)


class Slurm(Pretrain):
    SCRIPT = PRETRAIN / "slurm.sh"

    def setUp(self):
        super().setUp()
        self.stand_in("srun", 'echo "$*" >>srun.log; while [[ $1 == --* ]]; do shift; done; "$@"')

    def test_a_job_runs_and_goes_on(self):
        self.check_runs_and_goes_on(self.SCRIPT, SLURM_CPUS_PER_TASK="1")
        first, second = (self.folder / "srun.log").read_text(encoding="utf-8").splitlines()
        for line in (first, second):
            words = line.split()
            self.assertEqual(
                {"--mpi=pmix", "--kill-on-bad-exit=1", "--cpus-per-task=1"},
                set(words[: words.index("elmo-train")]),
            )
            self.assertIn("--threads 1", line)
        self.assertNotIn("--resume", first)
        self.assertIn("--resume", second)

    def test_failures_are_reported(self):
        self.check_failures(self.SCRIPT, SLURM_CPUS_PER_TASK="1")

    def test_the_options_of_slurm(self):
        text = self.SCRIPT.read_text(encoding="utf-8")
        asked = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", text, re.MULTILINE))
        self.assertEqual("2", asked["cpus-per-task"])  # a thread for each direction
        self.assertRegex(asked["signal"], r"^TERM@\d+$")  # to the ranks, not the script
        self.assertIn("requeue", asked)


class Mpirun(Pretrain):
    SCRIPT = PRETRAIN / "pretrain-ranks"

    def setUp(self):
        super().setUp()
        self.stand_in(
            "mpirun", 'echo "$*" >>mpirun.log; while [[ $1 != elmo-train ]]; do shift; done; "$@"'
        )

    def test_a_run_runs_and_goes_on(self):
        self.check_runs_and_goes_on(self.SCRIPT)
        first, second = (self.folder / "mpirun.log").read_text(encoding="utf-8").splitlines()
        self.assertRegex(first, "^--bind-to none elmo-train pretrain ")
        self.assertNotIn("--resume", first)
        self.assertIn("--resume", second)

    def test_failures_are_reported(self):
        self.check_failures(self.SCRIPT)

    def test_the_number_of_ranks_may_be_given(self):
        self.stand_in("elmo-train", "")
        self.assertEqual(0, self.command(self.SCRIPT, "run", RANKS="3").returncode)
        text = (self.folder / "mpirun.log").read_text(encoding="utf-8")
        self.assertRegex(text, "^-n 3 --bind-to none elmo-train")

    def test_signals_to_stop_reach_mpirun_as_sigusr1(self):
        """It sends each signal on, and then waits for the end of mpirun."""
        self.stand_in(
            "mpirun", "trap 'n+=x; echo $n' USR1; echo here; until [[ $n == xx ]]; do sleep 0.1; done"
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            job = subprocess.Popen(
                [self.SCRIPT, "run"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            self.assertEqual("here\n", job.stdout.readline())
            for said in ("x\n", "xx\n"):
                time.sleep(0.2)
                job.send_signal(number)
                self.assertEqual(said, job.stdout.readline())
            self.assertEqual(("", ""), job.communicate(timeout=60))
            self.assertEqual(143, job.returncode)


class Kubernetes(Pretrain):
    def setUp(self):
        super().setUp()
        job = yaml.safe_load((PRETRAIN / "mpijob.yaml").read_text(encoding="utf-8"))
        self.spec = job["spec"]
        replicas = self.spec["mpiReplicaSpecs"]
        self.pods = {name: replicas[name]["template"]["spec"] for name in ("Launcher", "Worker")}
        self.containers = {name: pod["containers"][0] for name, pod in self.pods.items()}
        self.dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
        self.stage = self.dockerfile.partition(" AS elmo-train\n")[2].partition("\nFROM ")[0]

    def test_the_launcher_runs(self):
        """Like the kubelet, with the volume's folder instead of its mount."""
        launcher = self.containers["Launcher"]
        self.assertEqual(["pretrain-ranks"], launcher["command"])
        self.assertIn("/deploy/pretrain/pretrain-ranks", self.stage)
        self.stand_in("mpirun", 'while [[ $1 != elmo-train ]]; do shift; done; "$@"')
        (data,) = [mount for mount in launcher["volumeMounts"] if mount["name"] == "data"]
        arguments = [
            argument.replace(data["mountPath"], str(self.folder)) for argument in launcher["args"]
        ]
        arguments[arguments.index("--tokens") + 1] = "1000"  # a run must have an end
        done = self.command(PRETRAIN / "pretrain-ranks", *arguments, *SMALL)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertGreaterEqual(self.tokens_trained("run"), 1000)

    def test_the_image_is_the_target_of_the_dockerfile(self):
        for container in self.containers.values():
            self.assertEqual(f"elmo-train:{VERSION}", container["image"])
        self.assertIn('ENTRYPOINT ["/usr/local/bin/elmo-train"]', self.stage)
        user = self.pods["Worker"]["securityContext"]["runAsUser"]
        self.assertIn(f"USER {user}:{user}\n", self.stage)
        self.assertIn(f"useradd --uid {user} ", self.stage)

    def test_the_launcher_reaches_the_workers(self):
        worker = self.containers["Worker"]
        self.assertIn(f" {worker['args'][-1]}\n", self.stage)
        port = worker["readinessProbe"]["tcpSocket"]["port"]
        for name in ("ssh_config", "sshd_config"):
            text = (PRETRAIN / name).read_text(encoding="utf-8")
            self.assertRegex(text, rf"(?m)^ *Port {port}$")
            self.assertIn(f" {self.spec['sshAuthMountPath']}/id_rsa", text)

    def test_a_rank_has_two_cores(self):
        slots = self.spec["slotsPerWorker"]
        self.assertEqual(str(2 * slots), self.containers["Worker"]["resources"]["limits"]["cpu"])

    def test_the_volumes_are_there(self):
        for name, pod in self.pods.items():
            self.assertEqual(
                {volume["name"] for volume in pod["volumes"]},
                {mount["name"] for mount in self.containers[name]["volumeMounts"]},
            )


class Paper(unittest.TestCase):
    SCRIPT = ROOT / "model/train/data_parallel"

    def run_script(self, *arguments):
        return subprocess.run([self.SCRIPT, *arguments], capture_output=True, text=True, check=False)

    def test_the_tables_of_the_page_are_what_it_prints(self):
        page = (ROOT / "model/train/data_parallel.md").read_text(encoding="utf-8")
        example = r"^    \$ model/train/data_parallel (.+)\n((?:    [^$\n].*\n)+)"
        examples = re.findall(example, page, re.MULTILINE)
        self.assertEqual(6, len(examples))
        for arguments, output in examples:
            with self.subTest(arguments):
                done = self.run_script(*arguments.split())
                self.assertEqual((0, ""), (done.returncode, done.stderr))
                self.assertEqual(re.sub("^    ", "", output, flags=re.MULTILINE), done.stdout)

    def test_a_step_by_hand(self):
        """2 ranks send and receive half of the bytes in each direction: all bytes once."""
        text = self.run_script("step", "--ranks", "2", "--latency", "1e-12", "--gbit", "1").stdout
        rows = 811 + (1458 - 811) * 1.16  # about; 8,192 tokens
        milliseconds = 4 * (7.43e6 + (2048 + rows) * 513) * 8 / 0.9e9 * 1e3
        found = float(re.search(r"exchanges ([\d.]+) ms", text)[1])
        self.assertAlmostEqual(milliseconds, found, delta=0.01 * milliseconds)

    def test_wrong_arguments_are_reported(self):
        for arguments in ((), ("step", "--ranks", "1"), ("batch", "--tflops", "0"), ("rows",)):
            done = self.run_script(*arguments)
            self.assertNotEqual(0, done.returncode)
            self.assertIn("error: ", done.stderr)


if __name__ == "__main__":
    unittest.main()
