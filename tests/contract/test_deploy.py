#!/usr/bin/python3
"""Holds deploy/ to the elmod that it deploys: options, paths, metrics, grace periods, versions."""
import os
import pathlib
import re
import shutil
import subprocess
import unittest

import yaml

from elmod import Elmod
from spec import Spec

BINARY = os.environ["ELMOD_BINARY"]
VERSION = os.environ["ELMOD_VERSION"]
SPEC = Spec(os.environ["ELMOD_OPENAPI"])
ROOT = pathlib.Path(os.environ["ELMOD_SOURCE_ROOT"])
DEPLOY = ROOT / "deploy"


def load(name):
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def config(flags=(), variables=None):
    """What --print-config says of these: {key: value}; fails where elmod does not know one."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("ELMOD_")
    }
    environment.update(variables or {})
    text = subprocess.run(
        [BINARY, *flags, "--print-config"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return text


def drain_seconds(flags=()):
    """The longest that elmod takes to stop."""
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
    def test_time_to_stop_is_enough(self):
        unit = (DEPLOY / "elmod.service").read_text(encoding="utf-8")
        self.assertGreater(
            int(re.search(r"^TimeoutStopSec=(\d+)s$", unit, re.MULTILINE)[1]), drain_seconds()
        )


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

    def test_probes_ask_paths_that_exist_at_a_port_that_exists(self):
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

    @unittest.skipUnless(shutil.which("promtool"), "no promtool here")
    def test_promtool_finds_nothing_to_say(self):
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


if __name__ == "__main__":
    unittest.main()
