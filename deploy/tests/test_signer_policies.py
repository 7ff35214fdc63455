"""The signer's admission policies, evaluated (CEL): who may ask its names, and who may decide."""
import copy
import unittest

import admission
import manifests

GROUP = "certificates.k8s.io"
NODE = {"username": "system:node:node-a", "groups": ["system:nodes", "system:authenticated"]}
SIGNER = {
    "username": "system:serviceaccount:podidentd-signer:podidentd-signer",
    "groups": ["system:serviceaccounts", "system:authenticated"],
}
ADMINISTRATOR = {"username": "kubernetes-admin", "groups": ["system:masters", "system:authenticated"]}
REQUEST = {
    "apiVersion": "certificates.k8s.io/v1",
    "kind": "PodCertificateRequest",
    "metadata": {"name": "r", "namespace": "shop"},
    "spec": {
        "signerName": "podidentd.io/spiffe", "podName": "web-1", "podUID": "u", "serviceAccountName": "web",
        "serviceAccountUID": "s", "nodeName": "node-a", "nodeUID": "n", "stubPKCS10Request": "",
    },
}


class SignerPolicyTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        documents = manifests.documents((manifests.GOLDEN / "signer.yaml").read_text())
        cls.policies = {d["metadata"]["name"]: d for d in documents if d["kind"] == "ValidatingAdmissionPolicy"}
        cls.bindings = {d["spec"]["policyName"]: d for d in documents if d["kind"] == "ValidatingAdmissionPolicyBinding"}

    def refusals(self, name, user, operation="CREATE", resource="podcertificaterequests", namespace="shop", **spec):
        document = copy.deepcopy(REQUEST)
        document["metadata"]["namespace"] = namespace
        document["spec"].update(spec)
        values = admission.request(operation, resource, document, group=GROUP, namespace=namespace)
        values["request"]["userInfo"] = user
        return admission.refusals(self.policies[name], values)

    def asks(self, user, **spec):
        return self.refusals("podidentd-signer-requests", user, **spec)

    def decides(self, user, **spec):
        return self.refusals(
            "podidentd-signer-decisions", user, operation="UPDATE", resource="podcertificaterequests/status", **spec)

    def publishes(self, user, operation="CREATE", **spec):
        document = {
            "apiVersion": "certificates.k8s.io/v1", "kind": "ClusterTrustBundle", "metadata": {"name": "b"},
            "spec": {"trustBundle": "", **spec},
        }
        values = admission.request(operation, "clustertrustbundles", document, group=GROUP)
        values["request"]["userInfo"] = user
        return admission.refusals(self.policies["podidentd-signer-bundles"], values)

    def test_the_signer_publishes_bundles_of_its_own_names_alone(self):
        for operation in ("CREATE", "UPDATE"):
            for name in ("podidentd.io/spiffe", "podidentd.io/node-serving"):
                self.assertEqual(self.publishes(SIGNER, operation, signerName=name), [])
            self.assertTrue(self.publishes(SIGNER, operation))
            self.assertTrue(self.publishes(SIGNER, operation, signerName="kubernetes.io/kube-apiserver-serving"))
        # Others are RBAC's and the API server's matter.
        self.assertEqual(self.publishes(ADMINISTRATOR), [])

    def test_both_deny_and_fail_closed(self):
        self.assertEqual(
            set(self.policies),
            {"podidentd-signer-requests", "podidentd-signer-decisions", "podidentd-signer-bundles"})
        for name, policy in self.policies.items():
            self.assertEqual(policy["spec"]["failurePolicy"], "Fail")
            self.assertEqual(self.bindings[name]["spec"]["validationActions"], ["Deny"])

    def test_a_node_asks_for_its_own_pods_and_nobody_else_asks(self):
        self.assertEqual(self.asks(NODE), [])
        for user in (ADMINISTRATOR, SIGNER, {"username": "system:node:node-a", "groups": ["system:authenticated"]}):
            self.assertTrue(self.asks(user), user)
        self.assertTrue(self.asks(NODE, nodeName="node-b"))
        self.assertTrue(self.asks({**NODE, "username": "system:node:node-b"}))

    def test_only_two_names_exist_and_one_is_for_agents(self):
        self.assertTrue(self.asks(NODE, signerName="podidentd.io/other"))
        serving = {"signerName": "podidentd.io/node-serving"}
        self.assertTrue(self.asks(NODE, **serving))
        self.assertTrue(self.asks(NODE, **serving, serviceAccountName="podidentd"))
        self.assertTrue(self.asks(NODE, **serving, namespace="podidentd"))
        self.assertEqual(self.asks(NODE, **serving, namespace="podidentd", serviceAccountName="podidentd"), [])

    def test_other_signers_are_left_alone(self):
        for name in ("example.org/signer", "kubernetes.io/kube-apiserver-client-pod"):
            self.assertEqual(self.asks(ADMINISTRATOR, signerName=name), [])
            self.assertEqual(self.decides(ADMINISTRATOR, signerName=name), [])

    def test_only_the_signer_decides(self):
        self.assertEqual(self.decides(SIGNER), [])
        for user in (ADMINISTRATOR, NODE, {**SIGNER, "username": "system:serviceaccount:shop:podidentd-signer"}):
            self.assertTrue(self.decides(user), user)


if __name__ == "__main__":
    unittest.main()
