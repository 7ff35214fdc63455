"""The chart and the manifests as operators bring them into a cluster: by the real helm and the real kubectl."""
import base64
import json
import os
import pathlib
import re
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


class FollowedQuickstartTests(ClusterTests):
    """The commands of docs/quickstart.md as they stand there, by the real kubectl, helm and openssl."""

    # What needs nodes that run pods: kind, Docker, controllers.
    NEEDS_NODES = re.compile(r"^(kind |docker |kubectl .*\b(rollout status|wait|exec|logs)\b|for image in |deploy/image/)")
    ISSUER = "https://kubernetes.default.svc.cluster.local"
    KEYS = '{"keys":[{"use":"sig","kty":"RSA","kid":"a","alg":"RS256","n":"AQAB","e":"AQAB"}]}'

    def setUp(self):
        super().setUp()
        answer = self.server.answer

        def with_discovery(method, path, *arguments):
            if path == "/openid/v1/jwks":
                return 200, json.loads(self.KEYS)
            if path == "/.well-known/openid-configuration":
                return 200, {"issuer": self.ISSUER, "jwks_uri": "https://10.0.0.1:6443/openid/v1/jwks"}
            return answer(method, path, *arguments)

        self.server.answer = with_discovery

    def steps(self):
        """The commands of the numbered steps, each a line or several that end in a backslash."""
        text = (manifests.DEPLOY.parent / "docs/quickstart.md").read_text()
        section = text[text.index("## Without a Google project") : text.index("## With a Google project")]
        steps = re.findall(r"^(\d+)\. .*?```sh\n(.*?)```", section, re.MULTILINE | re.DOTALL)
        self.assertEqual([int(number) for number, _ in steps], list(range(1, 11)))
        for _, block in steps:
            commands = re.sub(r"\\\n\s*", "", block)
            for command in filter(None, map(str.strip, commands.splitlines())):
                # Of 'kubectl apply && kubectl rollout status' the part that needs no nodes.
                parts = command.split(" && ") if command.startswith("kubectl") else [command]
                yield " && ".join(part for part in parts if not self.NEEDS_NODES.match(part))

    def run_commands(self, commands):
        shutil.copytree(manifests.DEPLOY, self.directory / "deploy", ignore=shutil.ignore_patterns("tests", "golden"))
        ran = []
        for command in filter(None, commands):
            path = f"{manifests.KUBECTL.parent}:{os.environ['PATH']}"
            result = self.run_tool("env", f"PATH={path}", "bash", "-ec", command, cwd=self.directory)
            self.assertEqual(result.returncode, 0, f"{command}: {result.stderr}")
            ran.append(command.split()[0])
        return ran

    def test_for_k3s_the_chart_names_its_credential_and_everything_the_other_address(self):
        text = (manifests.DEPLOY.parent / "docs/quickstart.md").read_text()
        section = text[text.index("## k3s") :]
        commands = re.sub(r"\\\n\s*", "", re.search(r"```sh\n(.*?)```", section, re.DOTALL)[1]).splitlines()
        needs_k3s = re.compile(r"#|export KUBECONFIG=|for image in |kubectl .*rollout status")
        ran = self.run_commands(command for command in commands if not needs_k3s.match(command))
        self.assertEqual(ran, ["sed", "openssl", "helm"])
        settings = self.server.objects["ConfigMap", "podidentd", "podidentd-settings"]["data"]
        self.assertEqual(settings["PODIDENTD_KUBERNETES_KUBECONFIG"], "/var/lib/rancher/k3s/agent/kubelet.kubeconfig")
        files = [*(self.directory / "deploy/quickstart").iterdir()]
        self.assertEqual(len(files), 3)
        for file in files:
            self.assertNotIn("10.96.", file.read_text().replace("kind: 10.96.0.0/16", ""))
        named = self.run_tool("openssl", "x509", "-in", self.directory / "tls.crt", "-noout", "-checkip", "10.43.111.111")
        self.assertIn("does match certificate", named.stdout)

    def test_what_needs_no_nodes_runs_and_makes_what_the_agent_and_the_emulator_take(self):
        ran = self.run_commands(self.steps())
        self.assertEqual((ran.count("kubectl"), ran.count("helm"), ran.count("openssl")), (9, 1, 1), ran)
        cluster = self.server.objects["ConfigMap", "google-emulator", "cluster"]["data"]
        self.assertEqual(cluster["issuer"], self.ISSUER)
        self.assertEqual(json.loads(cluster["jwks.json"]), json.loads(self.KEYS))
        certificate = self.directory / "tls.crt"
        secret = self.server.objects["Secret", "google-emulator", "tls"]["data"]
        self.assertEqual(base64.b64decode(secret["tls.crt"]), certificate.read_bytes())
        self.assertEqual(
            self.server.objects["ConfigMap", "podidentd", "podidentd-google-ca"]["data"]["ca.crt"], certificate.read_text())
        address = self.server.objects["Service", "google-emulator", "google"]["spec"]["clusterIP"]
        named = self.run_tool("openssl", "x509", "-in", certificate, "-noout", "-checkip", address)
        self.assertIn("does match certificate", named.stdout)
        labels = self.server.objects["Namespace", "", "podidentd"]["metadata"]["labels"]
        self.assertEqual(labels["pod-security.kubernetes.io/enforce"], "privileged")
        for place in [("DaemonSet", "podidentd", "podidentd"), ("Pod", "default", "reader"), ("Deployment", "google-emulator", "google")]:
            self.assertIn(place, self.server.objects)


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
