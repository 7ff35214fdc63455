"""The chart and the manifests as operators bring them into a cluster: by the real helm and the real kubectl."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import yaml

import manifests
from api_server import APIServer

CHART = manifests.DEPLOY / "helm"


class ClusterTests(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(APIServer())
        self.directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.directory / "kubeconfig").write_text(yaml.safe_dump(self.server.kubeconfig))

    def run_tool(self, tool, *arguments, **options):
        environment = os.environ | {"KUBECONFIG": str(self.directory / "kubeconfig"), "HOME": str(self.directory)}
        command = [str(tool), *(str(argument) for argument in arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, **options)

    def helm(self, *arguments):
        return self.run_tool(manifests.HELM, *arguments, "--namespace", "podidentd")

    def values(self, values):
        path = self.directory / "values.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    def rendered(self, values):
        """Kind, namespace and name of each object that the chart becomes."""
        return {self.place(document) for document in manifests.documents(manifests.helm(values))}

    @staticmethod
    def place(document):
        return document["kind"], document["metadata"].get("namespace", ""), document["metadata"]["name"]

    def installed(self):
        return {key for key in self.server.objects if key[0] != "Secret"}


class HelmTests(ClusterTests):
    def test_the_chart_has_no_fault_that_helm_finds(self):
        for values in ({}, manifests.REQUIRED_VALUES, manifests.ALL_VALUES, manifests.AWS_VALUES):
            linted = self.helm("lint", "--strict", CHART, "--values", self.values(values))
            self.assertEqual(linted.returncode, 0, linted.stdout + linted.stderr)
            self.assertIn("1 chart(s) linted, 0 chart(s) failed", linted.stdout)

    def test_a_fault_in_a_template_is_found(self):
        broken = self.directory / "chart"
        shutil.copytree(CHART, broken)
        template = broken / "templates/daemonset.yaml"
        template.write_text(template.read_text().replace("    spec:\n", "    spec\n", 1))
        linted = self.helm("lint", "--strict", broken, "--values", self.values(manifests.REQUIRED_VALUES))
        self.assertNotEqual(linted.returncode, 0)
        self.assertIn("templates/daemonset.yaml", linted.stdout)

    def test_without_values_nothing_is_installed_and_one_sentence_names_what_is_missing(self):
        google = manifests.REQUIRED_VALUES["google"]
        cases = [
            ({}, ["provider", "projectId", "projectNumber"]),
            ({"google": {"provider": google["provider"]}}, ["projectId", "projectNumber"]),
            ({"google": google | {"projectNumber": ""}}, ["projectNumber"]),
        ]
        for values, missing in cases:
            for options in ([], ["--dry-run=client"], ["--dry-run=server"]):
                with self.subTest(missing=missing, options=options):
                    refused = self.helm("install", "podidentd", CHART, "--values", self.values(values), *options)
                    self.assertEqual(refused.returncode, 1)
                    names = ", ".join(f"google.{name}" for name in missing)
                    self.assertIn(f"podidentd is not installed, because the chart needs {names}: ", refused.stderr)
                    self.assertEqual(len(refused.stderr.strip().splitlines()), 1, refused.stderr)
                    self.assertEqual(self.server.objects, {})

    def test_a_dry_run_asks_the_server_and_leaves_nothing(self):
        """It sends no object: see deploy/README.md for how to let the server judge them."""
        values = self.values(manifests.ALL_VALUES)
        shown = self.helm("install", "podidentd", CHART, "--values", values, "--dry-run=server")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        text = shown.stdout[shown.stdout.index("MANIFEST:\n") + len("MANIFEST:\n") :]
        found = {self.place(document) for document in manifests.documents(text)}
        self.assertEqual(found, self.rendered(manifests.ALL_VALUES))
        self.assertEqual((self.server.objects, self.server.tried), ({}, []))

    def test_what_is_installed_is_what_is_rendered_and_goes_with_its_release(self):
        installed = self.helm("install", "podidentd", CHART, "--values", self.values(manifests.REQUIRED_VALUES))
        self.assertEqual(installed.returncode, 0, installed.stderr)
        self.assertEqual(self.installed(), self.rendered(manifests.REQUIRED_VALUES))

        # A release that is upgraded to other values loses what it no longer has.
        for values in (manifests.ALL_VALUES, manifests.REQUIRED_VALUES, manifests.AWS_VALUES):
            upgraded = self.helm("upgrade", "podidentd", CHART, "--values", self.values(values))
            self.assertEqual(upgraded.returncode, 0, upgraded.stderr)
            self.assertEqual(self.installed(), self.rendered(values))

        removed = self.helm("uninstall", "podidentd")
        self.assertEqual(removed.returncode, 0, removed.stderr)
        self.assertEqual(self.server.objects, {})

    def test_an_object_that_the_server_refuses_fails_the_installation(self):
        values = manifests.REQUIRED_VALUES | {"tolerations": [{"operater": "Exists"}]}
        refused = self.helm("install", "podidentd", CHART, "--values", self.values(values))
        self.assertEqual(refused.returncode, 1)
        self.assertIn("DaemonSet podidentd is invalid", refused.stderr)


class QuickstartTests(ClusterTests):
    """What docs/quickstart.md applies, without a cluster: objects that a server takes, and a chart that renders them."""

    def test_the_chart_takes_the_values_and_trusts_the_emulator(self):
        values = yaml.safe_load((manifests.DEPLOY / "quickstart/values.yaml").read_text())
        installed = self.helm("install", "podidentd", CHART, "--values", self.values(values))
        self.assertEqual(installed.returncode, 0, installed.stderr)
        settings = self.server.objects["ConfigMap", "podidentd", "podidentd-settings"]["data"]
        pod = self.server.objects["DaemonSet", "podidentd", "podidentd"]["spec"]["template"]["spec"]
        (mount,) = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "google-ca"]
        self.assertEqual(settings["PODIDENTD_GOOGLE_CA_FILE"], mount["mountPath"] + "/ca.crt")
        self.assertIn({"name": "google-ca", "configMap": {"name": values["google"]["caConfigMap"]}}, pod["volumes"])

    def test_the_server_takes_the_manifests_which_name_one_provider_and_one_address(self):
        folder = manifests.DEPLOY / "quickstart"
        arguments = ["apply", "--server-side", "--dry-run=server", "--filename"]
        for name in ("google.yaml", "reader.yaml"):
            applied = self.run_tool(manifests.KUBECTL, *arguments, folder / name)
            self.assertEqual(applied.returncode, 0, applied.stderr)
        values = yaml.safe_load((folder / "values.yaml").read_text())
        google = {document["kind"]: document for document in manifests.documents((folder / "google.yaml").read_text())}
        (container,) = google["Deployment"]["spec"]["template"]["spec"]["containers"]
        self.assertIn(values["google"]["provider"], container["args"])
        address = google["Service"]["spec"]["clusterIP"]
        self.assertEqual(values["config"]["google"]["sts-url"], f"https://{address}/v1/token")
        self.assertEqual(values["config"]["google"]["iam-credentials-url"], f"https://{address}")
        self.assertIn(f"https://{address}/storage/v1/b/lab-bucket/", (folder / "reader.yaml").read_text())


class KubectlTests(ClusterTests):
    def apply(self, text):
        arguments = ["apply", "--server-side", "--dry-run=server", "--filename", "-"]
        return self.run_tool(manifests.KUBECTL, *arguments, input=text)

    def test_the_server_takes_every_rendering(self):
        for name, text in manifests.renderings().items():
            with self.subTest(name):
                self.server.tried.clear()
                applied = self.apply(text)
                self.assertEqual(applied.returncode, 0, applied.stderr)
                kinds = [document["kind"] for document in manifests.documents(text)]
                self.assertEqual(sorted(self.server.tried), sorted(kinds))
        self.assertEqual(self.server.objects, {})

    def test_the_server_refuses_an_unknown_field(self):
        text = manifests.kustomize(manifests.DEPLOY / "overlays/kubeadm")
        refused = self.apply(text.replace("hostPID:", "hostPid:"))
        self.assertEqual(refused.returncode, 1)
        self.assertIn("hostPid", refused.stderr)
