#!/usr/bin/python3
"""Runs elmo-embed as deploy/bulk does, with a small model and text: the shards of the Kubernetes Job, and
those of the Slurm array, together have each line once."""
import json
import os
import pathlib
import stat
import struct
import subprocess
import tempfile
import unittest

import yaml

EMBED = os.environ["ELMO_EMBED"]
VERSION = os.environ["ELMOD_VERSION"]
ROOT = pathlib.Path(os.environ["ELMOD_SOURCE_ROOT"])
BULK = ROOT / "deploy/bulk"
MODEL = ROOT / "tests/golden/tanh_deep.safetensors"
N_LINES = 11


def lines_of(output):
    """The numbers of the lines in the files of --format safetensors."""
    lines = []
    for path in sorted(output.iterdir()):
        data = path.read_bytes()
        header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
        lines += [int(name) for name in header if name != "__metadata__"]
    return lines


class Bulk(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        text = "".join(f"line {k} of the text\n" for k in range(N_LINES))
        (self.folder / "in.txt").write_text(text, encoding="utf-8")

    def check(self, outputs):
        found = [lines_of(output) for output in outputs]
        self.assertEqual(list(range(N_LINES)), sorted(sum(found, [])))
        self.assertTrue(all(found))

    def command(self, *arguments, environment=None):
        return subprocess.run(
            arguments,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


class Kubernetes(Bulk):
    def setUp(self):
        super().setUp()
        self.job = yaml.safe_load((BULK / "job.yaml").read_text(encoding="utf-8"))
        self.pod = self.job["spec"]["template"]["spec"]
        (self.container,) = self.pod["containers"]

    def arguments(self, shard):
        """The arguments that the kubelet makes, with the volume's folder instead of its mount."""
        (mount,) = self.container["volumeMounts"]
        return [
            argument.replace("$(SHARD)", str(shard)).replace(mount["mountPath"], str(self.folder))
            for argument in self.container["args"]
        ]

    def test_the_index_of_a_pod_is_its_shard(self):
        self.assertEqual("Indexed", self.job["spec"]["completionMode"])
        names = {variable["name"]: variable for variable in self.container["env"]}
        self.assertEqual(
            "metadata.annotations['batch.kubernetes.io/job-completion-index']",
            names["SHARD"]["valueFrom"]["fieldRef"]["fieldPath"],
        )

    def test_all_pods_together_make_the_whole(self):
        n = self.job["spec"]["completions"]
        self.assertIn(f"$(SHARD)/{n}", self.container["args"])
        small = ["--model", MODEL, "--format", "safetensors"]
        for shard in range(n):
            done = self.command(EMBED, *small, *self.arguments(shard))
            self.assertEqual(0, done.returncode, done.stderr)
        self.check([pathlib.Path(self.arguments(shard)[-1]) for shard in range(n)])
        again = self.command(EMBED, *small, *self.arguments(0))
        self.assertEqual(0, again.returncode)
        self.assertIn("nothing to do", again.stderr)

    def test_wrong_usage_ends_the_job(self):
        *_, rule = self.job["spec"]["podFailurePolicy"]["rules"]
        self.assertEqual("FailJob", rule["action"])
        self.assertEqual([self.command(EMBED, "--no-such").returncode], rule["onExitCodes"]["values"])
        self.assertEqual(self.container["name"], rule["onExitCodes"]["containerName"])

    def test_the_image_is_the_target_of_the_dockerfile(self):
        dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
        name, version = self.container["image"].split(":")
        self.assertEqual(VERSION, version)
        self.assertIn(f"FROM scratch AS {name}\n", dockerfile)
        self.assertIn(f'ENTRYPOINT ["/usr/local/bin/{name}"]\n', dockerfile)
        self.assertFalse(
            dockerfile.rpartition("FROM scratch")[2].startswith(f" AS {name}"),
            "the service must stay the default",
        )

    def test_the_volume_is_there(self):
        self.assertEqual(
            {volume["name"] for volume in self.pod["volumes"]},
            {mount["name"] for mount in self.container["volumeMounts"]},
        )


class Slurm(Bulk):
    def setUp(self):
        super().setUp()
        bin_folder = self.folder / "bin"
        bin_folder.mkdir()
        (bin_folder / "elmo-embed").symlink_to(EMBED)
        srun = bin_folder / "srun"
        srun.write_text('#!/bin/sh\nexec "$@"\n', encoding="utf-8")
        srun.chmod(srun.stat().st_mode | stat.S_IXUSR)
        self.environment = {"PATH": f"{bin_folder}:{os.environ['PATH']}"}

    def task(self, number, first, last, count, *options, **variables):
        array = {"ID": number, "MIN": first, "MAX": last, "COUNT": count}
        variables |= {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in array.items()}
        return self.command(
            BULK / "slurm.sh",
            "in.txt",
            "out",
            "--model",
            MODEL,
            "--format",
            "safetensors",
            *options,
            environment=self.environment | variables,
        )

    def test_all_tasks_together_make_the_whole(self):
        for number in range(3):
            done = self.task(number, 0, 2, 3)
            self.assertEqual(0, done.returncode, done.stderr)
        self.check([self.folder / f"out-{number}.hdf5" for number in range(3)])

    def test_some_tasks_need_the_number_of_shards(self):
        done = self.task(2, 2, 2, 1)
        self.assertEqual(2, done.returncode)
        self.assertIn("SHARDS=N", done.stderr)
        done = self.task(2, 2, 2, 1, SHARDS="3")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual([2, 5, 8], lines_of(self.folder / "out-2.hdf5"))

    def test_options_and_failures_are_passed_on(self):
        done = self.task(0, 0, 0, 1, "--outputs", "nothing")
        self.assertEqual(2, done.returncode)
        self.assertIn("no output 'nothing'", done.stderr)


if __name__ == "__main__":
    unittest.main()
