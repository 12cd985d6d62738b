#!/usr/bin/python3
"""The Kubernetes API accepts every manifest below deploy/. They are checked strictly against its schemas:
types, required fields, and no unknown fields."""
import copy
import filecmp
import json
import os
import pathlib
import shutil
import subprocess
import unittest

import yaml

DEPLOY = pathlib.Path(os.environ["ELMOD_SOURCE_ROOT"], "deploy")
HERE = pathlib.Path(__file__).resolve().parent / "kubernetes"
WORK = pathlib.Path(os.environ["ELMOD_NPM_FOLDER"])
FILES = ("package.json", "package-lock.json", ".npmrc", "validate.js", "mpijob.schema.json")


def install():
    """Installs the schemas, an npm package, once for each build folder. Returns what is missing, or None."""
    if not shutil.which("npm"):
        return "npm is not installed"
    WORK.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(HERE / name, WORK / name)
    stamp = WORK / "node_modules/.of-lock.json"
    if stamp.exists() and filecmp.cmp(stamp, HERE / "package-lock.json", shallow=False):
        return None
    command = ["npm", "ci", "--ignore-scripts", "--no-progress", "--loglevel=error"]
    if subprocess.run(command, cwd=WORK, stdin=subprocess.DEVNULL, check=False).returncode != 0:
        return "npm could not install"
    shutil.copy(HERE / "package-lock.json", stamp)
    return None


def errors_of(manifests):
    done = subprocess.run(
        ["node", "validate.js"],
        cwd=WORK,
        input=json.dumps(manifests),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def is_manifest(doc):
    return (
        isinstance(doc, dict)
        and {"apiVersion", "kind"} <= doc.keys()
        and not doc["apiVersion"].startswith("kustomize.config.k8s.io/")
    )


def load_all(path):
    return [doc for doc in yaml.safe_load_all(path.read_text(encoding="utf-8")) if is_manifest(doc)]


def patched(base, patch):
    """Applies a patch like kustomize, for patches whose lists replace those of the base."""
    if not isinstance(base, dict) or not isinstance(patch, dict):
        return patch
    return base | {key: patched(base.get(key), value) for key, value in patch.items()}


def autoscaler_of_queue_time():
    (base,) = load_all(DEPLOY / "kubernetes/hpa.yaml")
    (patch,) = load_all(DEPLOY / "kubernetes-queue-time/hpa.yaml")
    return patched(base, patch)


class Kubernetes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        lacks = install()
        if lacks and os.environ.get("CI") == "true":
            raise RuntimeError(lacks)
        if lacks:
            raise unittest.SkipTest(lacks)

    def test_manifests_are_valid(self):
        patches = {DEPLOY / "kubernetes-queue-time/hpa.yaml"}  # valid only together with its base
        named = [
            (f"{path.relative_to(DEPLOY)}: {manifest['kind']}", manifest)
            for path in sorted(set(DEPLOY.rglob("*.yaml")) - patches)
            for manifest in load_all(path)
        ]
        named.append(("kubernetes-queue-time", autoscaler_of_queue_time()))
        self.assertGreaterEqual(len(named), 5)
        for (name, _), errors in zip(named, errors_of([manifest for _, manifest in named])):
            with self.subTest(name):
                self.assertEqual([], errors)

    def test_mistakes_are_found(self):
        (deployment,) = load_all(DEPLOY / "kubernetes/deployment.yaml")
        (hpa,) = load_all(DEPLOY / "kubernetes/hpa.yaml")

        def misspelt(container):
            container["livenessProb"] = container.pop("livenessProbe")

        def spaced(container):
            container["resources"]["limits"]["memory"] = "2 GiB"

        manifests = [copy.deepcopy(deployment) for _ in range(3)] + [copy.deepcopy(hpa)] * 2
        for manifest, mistake in zip(manifests, (misspelt, spaced)):
            mistake(manifest["spec"]["template"]["spec"]["containers"][0])
        del manifests[2]["spec"]["selector"]
        manifests[3] = hpa | {"apiVersion": "autoscaling/v2beta9"}
        manifests[4]["spec"]["maxReplicas"] = "10"
        wanted = ["livenessProb", "quantity", "selector", "v2beta9", "maxReplicas"]
        for word, errors in zip(wanted, errors_of(manifests)):
            with self.subTest(word):
                self.assertIn(word, " ".join(errors))

    def test_mistakes_of_an_mpi_job_are_found(self):
        (job,) = load_all(DEPLOY / "pretrain/mpijob.yaml")

        def misspelt(job):
            job["spec"]["slotPerWorker"] = job["spec"].pop("slotsPerWorker")

        def unlaunched(job):
            del job["spec"]["mpiReplicaSpecs"]["Launcher"]

        def unclean(job):
            job["spec"]["runPolicy"]["cleanPodPolicy"] = "running"

        def misspelt_pod(job):
            pod = job["spec"]["mpiReplicaSpecs"]["Worker"]["template"]["spec"]
            pod["volume"] = pod.pop("volumes")

        def misspelt_label(job):
            job["metadata"]["label"] = job["metadata"].pop("labels")

        mistakes = {
            "slotPerWorker": misspelt,
            "Launcher": unlaunched,
            "cleanPodPolicy": unclean,
            '"volume"': misspelt_pod,
            '"label"': misspelt_label,
        }
        manifests = []
        for mistake in mistakes.values():
            manifests.append(json.loads(json.dumps(job)))  # without the anchors of YAML
            mistake(manifests[-1])
        for word, errors in zip(mistakes, errors_of(manifests)):
            with self.subTest(word):
                self.assertIn(word, " ".join(errors))

    @unittest.skipUnless(shutil.which("kubectl"), "kubectl is not installed")
    def test_kustomize_gives_the_same(self):
        for folder in ("kubernetes", "kubernetes-queue-time"):
            text = subprocess.run(
                ["kubectl", "kustomize", DEPLOY / folder], check=True, capture_output=True
            ).stdout
            docs = list(yaml.safe_load_all(text))
            self.assertEqual([[]] * 4, errors_of(docs))
        (hpa,) = [doc for doc in docs if doc["kind"] == "HorizontalPodAutoscaler"]
        self.assertEqual(autoscaler_of_queue_time(), hpa)


if __name__ == "__main__":
    unittest.main()
