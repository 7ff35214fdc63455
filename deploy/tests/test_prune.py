"""What 'kubectl apply -k' leaves behind, and that deploy/prune removes just that: by the real kubectl."""
import os
import pathlib
import subprocess
import tempfile
import unittest

import yaml

import manifests
from api_server import APIServer

PRUNE = manifests.DEPLOY / "prune"
RIGHTS = ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]
POLICIES = ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"]


class PruneTests(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(APIServer())
        self.directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(dir=manifests.DEPLOY)))
        self.kubeconfig = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(self.server.kubeconfig))

    def run_with_kubectl(self, *command):
        environment = os.environ | {
            "KUBECONFIG": str(self.kubeconfig),
            "HOME": str(self.kubeconfig.parent),
            "PATH": f"{manifests.KUBECTL.parent}:{os.environ['PATH']}",
        }
        return subprocess.run([str(word) for word in command], capture_output=True, text=True, env=environment)

    def site(self, *components, resources=()):
        """Writes the kustomization of a site."""
        (self.directory / "kustomization.yaml").write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "kustomize.config.k8s.io/v1beta1",
                    "kind": "Kustomization",
                    "resources": ["../overlays/kubeadm", *resources],
                    "components": [f"../components/{name}" for name in components],
                }
            )
        )

    def apply(self):
        result = self.run_with_kubectl("kubectl", "apply", "-k", self.directory)
        self.assertEqual(result.returncode, 0, result.stderr)

    def prune(self, *options, directory=None):
        return self.run_with_kubectl(PRUNE, *options, directory or self.directory)

    def objects(self, *kinds):
        return {(kind, *place) for kind in kinds for place in self.server.names(kind)}

    def test_the_right_in_every_namespace_goes_when_it_is_narrowed_to_one(self):
        self.site()
        self.apply()
        self.site("audience-by-namespace")
        self.apply()
        wide = {("ClusterRole", "", "podidentd-audience"), ("ClusterRoleBinding", "", "podidentd-audience")}
        narrow = {("Role", "team-a", "podidentd-audience"), ("RoleBinding", "team-a", "podidentd-audience")}
        # This is why the command is there.
        self.assertEqual(self.objects(*RIGHTS), wide | narrow)

        shown = self.prune()
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("left over: ClusterRole podidentd-audience\n", shown.stdout)
        self.assertIn("left over: ClusterRoleBinding podidentd-audience\n", shown.stdout)
        self.assertEqual(self.objects(*RIGHTS), wide | narrow)

        removed = self.prune("--delete")
        self.assertEqual(removed.returncode, 0, removed.stderr)
        self.assertEqual(self.objects(*RIGHTS), narrow)
        self.assertEqual(self.prune().stdout, "nothing is left over\n")

    def test_a_component_that_is_left_leaves_nothing(self):
        self.site("startup-taint", "read-service-accounts")
        self.apply()
        self.assertEqual(len(self.objects(*POLICIES)), 2)
        self.assertEqual(len(self.objects("ClusterRole")), 3)
        self.site()
        self.apply()
        self.assertEqual(len(self.objects(*POLICIES)), 2)
        self.assertEqual(self.prune("--delete").returncode, 0)
        self.assertEqual(self.objects(*POLICIES), set())
        self.assertEqual(self.objects("ClusterRole"), {("ClusterRole", "", "podidentd-audience")})
        self.assertEqual(len(self.objects("DaemonSet", "ServiceAccount", "Namespace")), 3)

    def test_the_signer_is_an_installation_of_its_own_and_stays(self):
        rendered = manifests.documents((manifests.GOLDEN / "signer.yaml").read_text())
        rights = self.kubeconfig.with_name("rights.yaml")
        rights.write_text(yaml.safe_dump_all([each for each in rendered if each["kind"] in RIGHTS]))
        signer = self.run_with_kubectl("kubectl", "apply", "-f", rights)
        self.assertEqual(signer.returncode, 0, signer.stderr)
        self.site("spiffe")
        self.apply()
        self.site()
        self.apply()
        self.assertEqual(self.prune("--delete").returncode, 0)
        left = {name for _, _, name in self.objects("ClusterRole")}
        self.assertEqual(left, {"podidentd-audience", "podidentd-signer"})

    def test_a_namespace_that_is_no_longer_named_is_visited_too(self):
        role = (manifests.DEPLOY / "components/audience-by-namespace/audience.yaml").read_text()
        (self.directory / "team-b.yaml").write_text(role.replace("team-a", "team-b"))
        self.site("audience-by-namespace", resources=["team-b.yaml"])
        self.apply()
        self.site("audience-by-namespace")
        self.apply()
        self.assertEqual(self.prune("--delete").returncode, 0)
        self.assertEqual({place[1] for place in self.objects("Role", "RoleBinding")}, {"team-a"})

    def test_every_object_carries_the_label_and_every_right_a_name_that_the_command_knows(self):
        known = PRUNE.read_text()
        for path in sorted(manifests.GOLDEN.glob("*.yaml")):
            if path.name.startswith(("workload-", "dns-")) or path.name == "signer.yaml":
                continue
            for document in manifests.documents(path.read_text()):
                with self.subTest(path.name, kind=document["kind"]):
                    labels = document["metadata"].get("labels", {})
                    self.assertEqual(labels.get("app.kubernetes.io/part-of"), "podidentd")
                    if document["kind"] in RIGHTS or "AdmissionPolicy" in document["kind"]:
                        self.assertIn(f" {document['metadata']['name']} ", known)

    def test_what_is_not_ours_stays_and_what_older_versions_did_not_label_goes(self):
        self.site()
        self.apply()
        others = {
            ("ClusterRole", "", "cluster-admin"): {},
            ("ClusterRole", "", "podidentd-viewers"): {},
            ("Role", "team-a", "podidentd-audience-2"): {"app.kubernetes.io/part-of": "something-else"},
            # The chart's, of a second installation.
            ("Role", "team-a", "podidentd-audience"): {"app.kubernetes.io/managed-by": "Helm"},
        }
        old = {("ClusterRole", "", "podidentd-startup-taint"): {}}
        for (kind, namespace, name), labels in (others | old).items():
            self.server.objects[kind, namespace, name] = {
                "kind": kind, "apiVersion": "rbac.authorization.k8s.io/v1",
                "metadata": {"name": name, "labels": labels} | ({"namespace": namespace} if namespace else {}),
            }
        result = self.prune("--delete")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(
            self.objects("ClusterRole", "Role"), set(others) | {("ClusterRole", "", "podidentd-audience")}
        )

    def test_a_directory_that_is_no_installation_removes_nothing(self):
        self.site()
        self.apply()
        before = dict(self.server.objects)
        (self.directory / "kustomization.yaml").write_text("resources: []\n")
        for directory in [self.directory, self.directory / "missing", manifests.DEPLOY / "tests"]:
            self.assertNotEqual(self.prune("--delete", directory=directory).returncode, 0)
        for words in [["--all"], [], [self.directory, self.directory]]:
            self.assertEqual(self.run_with_kubectl(PRUNE, *words).returncode, 64)
        self.assertEqual(self.server.objects, before)


if __name__ == "__main__":
    unittest.main()
