"""The component `reserved-names`: what it refuses, and that it refuses nothing else."""
import unittest

import admission
import manifests


def policy_and_binding(name):
    objects = {
        document["kind"]: document
        for document in manifests.documents((manifests.GOLDEN / f"{name}.yaml").read_text())
        if document["metadata"]["name"] == "podidentd-reserved-names"
    }
    return objects["ValidatingAdmissionPolicy"], objects["ValidatingAdmissionPolicyBinding"]


def namespace(name):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def service(namespace, name, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


class ReservedNamesTests(unittest.TestCase):
    def setUp(self):
        self.policies = [policy_and_binding(name) for name in ("component-reserved-names", "helm-everything")]

    def refusals(self, *arguments, **options):
        found = [admission.refusals(policy, admission.request(*arguments, **options)) for policy, _ in self.policies]
        self.assertEqual(found[0], found[1], "the component and the chart differ")
        return found[0]

    def test_the_namespace_is_refused(self):
        (message,) = self.refusals("CREATE", "namespaces", namespace("internal"))
        self.assertIn("metadata.google.internal", message)

    def test_the_service_is_refused_of_whatever_type_in_a_namespace_that_is_there_already(self):
        for spec in [{"clusterIP": "None"}, {"type": "ClusterIP"}, {"type": "ExternalName", "externalName": "a.example"}]:
            with self.subTest(spec):
                (message,) = self.refusals("CREATE", "services", service("internal", "google", **spec))
                self.assertIn("metadata.google.internal", message)

    def test_every_other_name_is_allowed(self):
        for name in ["default", "internal-tools", "my-internal", "google", "metadata"]:
            self.assertEqual(self.refusals("CREATE", "namespaces", namespace(name)), [], name)
        for place, name in [("internal", "metadata"), ("internal", "google-proxy"), ("default", "google"), ("google", "internal")]:
            self.assertEqual(self.refusals("CREATE", "services", service(place, name)), [], name)

    def test_what_is_there_already_can_be_changed_and_deleted(self):
        for operation in ["UPDATE", "DELETE"]:
            self.assertEqual(self.refusals(operation, "namespaces", namespace("internal")), [])
            self.assertEqual(self.refusals(operation, "services", service("internal", "google")), [])

    def test_other_kinds_of_these_names_are_allowed(self):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "google", "namespace": "internal"}}
        self.assertEqual(self.refusals("CREATE", "pods", pod), [])
        self.assertEqual(self.refusals("CREATE", "services", service("internal", "google"), group="serving.knative.dev"), [])

    def test_the_policy_denies_and_fails_closed(self):
        for policy, binding in self.policies:
            self.assertEqual(policy["spec"]["failurePolicy"], "Fail")
            self.assertEqual(binding["spec"], {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]})
