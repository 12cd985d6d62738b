#!/usr/bin/python3
"""Checks deploy/ against elmod: options, paths, metrics, grace periods, versions."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import unittest

import yaml

from elmod import Elmod, clean_environment, wait_until
from spec import Spec

BINARY = os.environ["ELMOD_BINARY"]
VERSION = os.environ["ELMOD_VERSION"]
SPEC = Spec(os.environ["ELMOD_OPENAPI"])
ROOT = pathlib.Path(os.environ["ELMOD_SOURCE_ROOT"])
DEPLOY = ROOT / "deploy"


def load(name):
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def config(flags=(), variables=None):
    """The output of --print-config with these. Fails if elmod does not know one of them."""
    environment = clean_environment() | (variables or {})
    text = subprocess.run(
        [BINARY, *flags, "--print-config"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return text


def drain_seconds(flags=()):
    """The longest time that elmod takes to stop."""
    text = config(flags)
    return (
        sum(
            int(re.search(rf"{key}\W+(\d+)", text)[1])
            for key in ("drain_grace_ms", "drain_timeout_ms")
        )
        / 1000
    )


class Containers(unittest.TestCase):
    def setUp(self):
        self.dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
        self.compose = load("compose.yaml")["services"]["elmod"]

    def test_options_are_known_to_elmod(self):
        config(variables=dict(re.findall(r"^ENV (\w+)=(\S+)$", self.dockerfile, re.MULTILINE)))
        config(variables=self.compose["environment"])

    def test_time_to_stop_is_enough(self):
        self.assertGreater(
            int(self.compose["stop_grace_period"].removesuffix("s")), drain_seconds()
        )

    def test_image_has_the_version(self):
        self.assertEqual(f"elmod:{VERSION}", self.compose["image"])

    def test_health_checks_are_the_same(self):
        self.assertEqual(
            ["CMD", "/usr/local/bin/elmod", "--health-check"], self.compose["healthcheck"]["test"]
        )
        self.assertIn('CMD ["/usr/local/bin/elmod", "--health-check"]', self.dockerfile)


class Systemd(unittest.TestCase):
    def setting(self, name):
        unit = (DEPLOY / "elmod.service").read_text(encoding="utf-8")
        return re.search(rf"^{name}=(.*)$", unit, re.MULTILINE)[1]

    def test_time_to_stop_is_enough(self):
        self.assertGreater(int(self.setting("TimeoutStopSec").removesuffix("s")), drain_seconds())

    def test_reload_loads_the_model(self):
        kill = re.fullmatch(r"/bin/kill -(\w+) \$MAINPID", self.setting("ExecReload"))
        with Elmod(BINARY) as elmod:
            elmod.process.send_signal(signal.Signals["SIG" + kill[1]])
            reloaded = 'elmod_model_reloads_total{result="ok"}'
            wait_until(lambda: elmod.metric(reloaded) == 1, "the reload")


class Kubernetes(unittest.TestCase):
    def setUp(self):
        names = load("kubernetes/kustomization.yaml")["resources"]
        manifests = [load(f"kubernetes/{name}") for name in names]
        self.by_kind = {manifest["kind"]: manifest for manifest in manifests}
        self.pod = self.by_kind["Deployment"]["spec"]["template"]
        (self.container,) = self.pod["spec"]["containers"]

    def test_every_manifest_is_in_the_kustomization(self):
        files = {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")} - {
            "kustomization.yaml"
        }
        self.assertEqual(files, set(load("kubernetes/kustomization.yaml")["resources"]))
        self.assertEqual(
            {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"},
            self.by_kind.keys(),
        )

    def test_options_are_known_to_elmod(self):
        variables = {variable["name"]: variable["value"] for variable in self.container["env"]}
        config(self.container["args"], variables)

    def test_selectors_find_the_pods(self):
        labels = self.pod["metadata"]["labels"].items()
        self.assertLessEqual(
            self.by_kind["Deployment"]["spec"]["selector"]["matchLabels"].items(), labels
        )
        self.assertLessEqual(
            self.by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"].items(), labels
        )
        self.assertLessEqual(self.by_kind["Service"]["spec"]["selector"].items(), labels)
        self.assertEqual(
            self.by_kind["Deployment"]["metadata"]["name"],
            self.by_kind["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"],
        )

    def test_probes_use_existing_paths_and_ports(self):
        ports = {port["name"] for port in self.container["ports"]}
        self.assertIn(self.by_kind["Service"]["spec"]["ports"][0]["targetPort"], ports)
        for name, path in (
            ("startup", "/health/ready"),
            ("readiness", "/health/ready"),
            ("liveness", "/health/live"),
        ):
            probe = self.container[name + "Probe"]["httpGet"]
            self.assertEqual(path, probe["path"])
            self.assertIn(path, SPEC.doc["paths"])
            self.assertIn(probe["port"], ports)

    def test_time_to_stop_is_enough(self):
        self.assertGreater(
            self.pod["spec"]["terminationGracePeriodSeconds"], drain_seconds(self.container["args"])
        )

    def test_image_has_the_version(self):
        self.assertEqual(f"elmod:{VERSION}", self.container["image"])


class Prometheus(unittest.TestCase):
    def test_rules_use_metrics_and_labels_that_exist(self):
        groups = load("prometheus/rules.yaml")["groups"]
        rules = " ".join(rule["expr"] for group in groups for rule in group["rules"])
        with Elmod(BINARY) as elmod:
            metrics = elmod.ask("GET", "/metrics").body.decode()
        for name in set(re.findall(r"\b(?:elmod|process)_\w+", rules)):
            self.assertRegex(metrics, rf"(?m)^{name}[{{ ]")
        paths = set(re.findall(r'path="([^"]+)"', metrics))
        for pattern in set("|".join(re.findall(r'path=~"([^"]+)"', rules)).split("|")):
            self.assertTrue(any(re.fullmatch(pattern, path) for path in paths), pattern)
        for code in set(re.findall(r"\d+", " ".join(re.findall(r'code=~?"([^"]+)"', rules)))):
            self.assertIn(f'code="{code}"', metrics)

    @unittest.skipUnless(shutil.which("promtool"), "promtool is not installed")
    def test_promtool_finds_no_fault(self):
        with Elmod(BINARY) as elmod:
            elmod.ask("POST", "/embed", {"inputs": "A gripping film."})
            metrics = elmod.ask("GET", "/metrics").body
        for command, stdin in (
            (["check", "metrics"], metrics),
            (["check", "rules", DEPLOY / "prometheus/rules.yaml"], None),
            (["test", "rules", DEPLOY / "prometheus/rules_test.yaml"], None),
        ):
            with self.subTest(" ".join(map(str, command))):
                done = subprocess.run(
                    ["promtool", *command], input=stdin, capture_output=True, check=False
                )
                self.assertEqual((0, b""), (done.returncode, done.stderr), done.stdout)


class Capacity(unittest.TestCase):
    @staticmethod
    def run_capacity(*arguments):
        return subprocess.run(
            [DEPLOY / "capacity", *arguments], capture_output=True, text=True, check=False
        )

    def test_the_examples_of_the_page_are_what_it_prints(self):
        page = (DEPLOY / "capacity.md").read_text(encoding="utf-8")
        example = r"^    \$ deploy/capacity (.+)\n((?:    [^$\n].*\n)+)"
        examples = re.findall(example, page, re.MULTILINE)
        self.assertEqual(2, len(examples))
        for arguments, output in examples:
            with self.subTest(arguments):
                done = self.run_capacity(*arguments.split())
                self.assertEqual((0, ""), (done.returncode, done.stderr))
                self.assertEqual(re.sub("^    ", "", output, flags=re.MULTILINE), done.stdout)

    def test_sums(self):
        """1000 tokens/s of 100 a core at half use are 20 cores: 5 instances of 4, and 2 spare."""
        options = "--tokens-per-second 1000 --rate 100 --use 0.5 --cores-each 4 --spare 2 --price 1"
        text = self.run_capacity(*options.split(), "--mean", "1").stdout
        self.assertIn(": 20.0 cores, so 7 instances of 4 cores, 2 of them spare", text)
        self.assertIn("price: 28.00 an hour, 20,440 a month", text)
        # 28 an hour for 3.6 million tokens; a core makes 360,000 an hour for 1.
        self.assertIn("a billion tokens: 7777.78 (at 100% of the peak", text)
        self.assertIn("2777.78 if no core were ever idle", text)

    def test_a_small_load_has_two_instances(self):
        text = self.run_capacity("--tokens-per-second", "1", "--spare", "0").stdout
        self.assertIn("so 2 instances", text)

    def test_wrong_arguments_are_reported(self):
        for arguments in (
            (),
            ("--tokens-per-second", "0"),
            ("--tokens-per-second", "nan"),
            ("--tokens-per-second", "1", "--use", "1.5"),
            ("--tokens-per-second", "1", "--cores-each", "0"),
            ("--tokens-per-second", "1", "--model", "no such"),
        ):
            with self.subTest(arguments):
                done = self.run_capacity(*arguments)
                self.assertNotEqual(0, done.returncode)
                self.assertTrue(done.stderr)
                self.assertNotIn("Traceback", done.stderr)


if __name__ == "__main__":
    unittest.main()
