#!/usr/bin/python3
"""A real Prometheus scrapes real elmods under a little load, with the job of
deploy/prometheus/kubernetes.yaml. Every query of the dashboard and of the autoscaler's metric has data,
every rule can be evaluated, and the end of an elmod raises the alert."""
import contextlib
import json
import math
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.parse
import urllib.request

import yaml

from elmod import Elmod, wait_until

BINARY = os.environ["ELMOD_BINARY"]
DEPLOY = pathlib.Path(os.environ["ELMOD_SOURCE_ROOT"], "deploy")
IS_THERE = shutil.which("prometheus") or os.environ.get("CI") == "true"  # in CI it must be there
SCRAPES = 4  # under load, one a second

sys.path.insert(0, str(DEPLOY))
from load import Load  # noqa: E402


def pod_labels(name, port):
    """The labels of Kubernetes for a pod."""
    return {
        "__meta_kubernetes_pod_label_app_kubernetes_io_name": "elmod",
        "__meta_kubernetes_pod_annotation_prometheus_io_scrape": "true",
        "__meta_kubernetes_pod_annotation_prometheus_io_path": "/metrics",
        "__meta_kubernetes_pod_annotation_prometheus_io_port": str(port),
        "__meta_kubernetes_namespace": "default",
        "__meta_kubernetes_pod_name": name,
    }


def config(elmods):
    """kubernetes.yaml with these elmods as the discovered pods, scraped once a second."""
    text = (DEPLOY / "prometheus/kubernetes.yaml").read_text(encoding="utf-8")
    doc = yaml.safe_load(text)
    doc["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    doc["rule_files"] = [str(DEPLOY / "prometheus" / name) for name in doc["rule_files"]]
    (job,) = doc["scrape_configs"]
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    job["static_configs"] = [
        # Kubernetes finds a pod at each of its ports. The annotation names the port to scrape.
        {"targets": [f"{elmod.host}:1"], "labels": pod_labels(f"elmod-{i}", elmod.port)}
        for i, elmod in enumerate(elmods)
    ]
    job["static_configs"].append({"targets": ["127.0.0.1:2"]})  # not an elmod
    return yaml.safe_dump(doc)


class Prometheus:
    def __init__(self, text, folder):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.log = folder / "prometheus.log"
        file = folder / "prometheus.yaml"
        file.write_text(text, encoding="utf-8")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={file}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--log.level=warn",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def get(self, path, **query):
        """The data of an answer of the API; None while Prometheus is not ready."""
        if self.process.poll() is not None:
            raise RuntimeError(f"Prometheus ended:\n{self.log.read_text(encoding='utf-8')}")
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:
                return None
            raise AssertionError(f"{query}: {error.read().decode()}") from error
        except OSError:
            return None

    def query(self, text):
        """[(labels, value)] of the values that are numbers."""
        result = self.get("query", query=text)["result"]
        pairs = [(one["metric"], float(one["value"][1])) for one in result]
        return [(labels, value) for labels, value in pairs if math.isfinite(value)]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def dashboard_queries():
    """(title, query) with the variables that Grafana uses for "All"."""
    dashboard = json.loads((DEPLOY / "grafana/elmod.json").read_text(encoding="utf-8"))
    values = {"$__rate_interval": "1m", "$job": "elmod"}
    values |= {f"${one['name']}": one["allValue"] for one in dashboard["templating"]["list"][1:]}
    found = [
        (panel["title"], target["expr"])
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    ]
    for title, text in found:
        for name, value in values.items():
            text = text.replace(name, value)
        yield title, text


@unittest.skipUnless(IS_THERE, "prometheus is not installed")
class Live(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="elmod-prometheus-"))
            cls.elmods = [
                stack.enter_context(Elmod(BINARY, "--threads", 1)) for _ in range(3)
            ]
            cls.prometheus = Prometheus(config(cls.elmods), pathlib.Path(folder))
            stack.callback(cls.prometheus.stop)
            wait_until(lambda: cls.prometheus.get("status/runtimeinfo"), "Prometheus")
            cls.load(stack)
            cls.addClassCleanup(stack.pop_all().close)

    @classmethod
    def load(cls, stack):
        """Waits for some scrapes of two elmods under load and of one without requests."""
        busy = cls.elmods[:2]
        for elmod in busy:
            stack.enter_context(Load((elmod.host, elmod.port), 3))

        def scraped(times):
            counts = cls.prometheus.query("count_over_time(elmod_tokens_total[1m])")
            return len(counts) == len(cls.elmods) and all(value >= times for _, value in counts)

        wait_until(lambda: scraped(1), "a scrape")  # requests before the first scrape show no increase
        for elmod in busy:
            assert elmod.ask("POST", "/embed", {"input": "What is this?"}).status == 422
        wait_until(lambda: scraped(SCRAPES), "scrapes")

    def test_all_are_scraped_and_have_the_labels_of_their_pods(self):
        self.assertEqual(
            [("elmod", "default", f"elmod-{i}", 1.0) for i in range(3)],
            sorted(
                (labels["job"], labels["namespace"], labels["pod"], value)
                for labels, value in self.prometheus.query("up")
            ),
        )

    def test_every_query_of_the_dashboard_has_data(self):
        n_queries = 0
        for title, text in dashboard_queries():
            with self.subTest(title):
                self.assertNotIn("$", text)
                self.assertTrue(self.prometheus.query(text), text)
            n_queries += 1
        self.assertGreater(n_queries, 30)

    def test_the_dashboard_finds_its_variables_and_restarts(self):
        dashboard = json.loads((DEPLOY / "grafana/elmod.json").read_text(encoding="utf-8"))
        for variable in dashboard["templating"]["list"][1:]:
            text = variable["query"]["query"].replace("$job", ".*")
            series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", text).groups()
            with self.subTest(variable["name"]):
                labels = [labels[label] for labels, _ in self.prometheus.query(series)]
                self.assertEqual(3, len(labels))
        (restarts,) = dashboard["annotations"]["list"]
        text = restarts["expr"].replace("$job", "elmod").replace("$instance", ".*")
        self.assertEqual([], self.prometheus.query(text))  # a valid query without results

    def test_the_dashboard_shows_every_metric(self):
        metrics = self.elmods[0].ask("GET", "/metrics").body.decode()
        names = set(re.findall(r"^# TYPE (\w+)", metrics, re.M))
        shown = " ".join(text for _, text in dashboard_queries())
        self.assertEqual(set(), {name for name in names if name not in shown})

    def test_the_metric_of_the_autoscaler(self):
        """There is one rule. The adapter makes a query for each pod from it, and the HPA uses its name."""
        path = DEPLOY / "kubernetes-queue-time"
        (rule,) = yaml.safe_load((path / "adapter.yaml").read_text(encoding="utf-8"))["rules"]
        self.assertEqual(3, len(self.prometheus.query(rule["seriesQuery"])))
        text = rule["metricsQuery"]
        for name, value in (
            ("<<.GroupBy>>", ",".join(rule["resources"]["overrides"])),
            ("<<.Series>>", "elmod_stage_duration_seconds_sum"),
            ("<<.LabelMatchers>>", 'namespace="default",pod=~"elmod-0|elmod-1|elmod-2"'),
        ):
            text = text.replace(name, value)
        found = self.prometheus.query(text)
        self.assertEqual({("namespace", "pod")}, {tuple(sorted(labels)) for labels, _ in found})
        values = {labels["pod"]: value for labels, value in found}
        self.assertEqual({"elmod-0", "elmod-1", "elmod-2"}, values.keys())
        self.assertGreater(min(values["elmod-0"], values["elmod-1"]), 0)
        self.assertEqual(0, values["elmod-2"])  # not NaN, though it had no requests
        hpa = yaml.safe_load((path / "hpa.yaml").read_text(encoding="utf-8"))
        pods = [metric["pods"] for metric in hpa["spec"]["metrics"] if metric["type"] == "Pods"]
        self.assertEqual([rule["name"]["as"]], [one["metric"]["name"] for one in pods])

    def test_rules_are_evaluated(self):
        def rules():
            groups = self.prometheus.get("rules")["groups"]
            found = [rule for group in groups for rule in group["rules"]]
            return found if all(rule["health"] != "unknown" for rule in found) else None

        for rule in wait_until(rules, "the rules"):
            with self.subTest(rule["name"]):
                self.assertEqual(("ok", None), (rule["health"], rule.get("lastError")))
                if rule["type"] == "alerting":
                    self.assertEqual([], rule["alerts"])
        self.assertTrue(self.prometheus.query("elmod:requests:rate5m > 0"))


@unittest.skipUnless(IS_THERE, "prometheus is not installed")
class Down(unittest.TestCase):
    def test_an_elmod_that_ended_is_noticed(self):
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="elmod-prometheus-"))
            with Elmod(BINARY) as elmod:
                prometheus = Prometheus(config([elmod]), pathlib.Path(folder))
                stack.callback(prometheus.stop)
                wait_until(lambda: prometheus.get("status/runtimeinfo"), "Prometheus")
                wait_until(lambda: prometheus.query("up == 1"), "a scrape")

            def alerts():
                found = prometheus.get("alerts")["alerts"]
                return [one["labels"]["alertname"] for one in found]

            wait_until(alerts, "an alert")
            self.assertEqual(["ElmodDown"], alerts())


if __name__ == "__main__":
    unittest.main()
