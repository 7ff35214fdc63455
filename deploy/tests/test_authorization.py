"""The lab's API server refuses what Roles do not grant, so that a test of documented rights can fail."""
import unittest
import urllib.parse

import authorization

MANIFEST = """
kind: Role
metadata: {namespace: agents}
rules:
  - {apiGroups: [""], resources: [pods, pods/log], verbs: [get]}
  - {apiGroups: [""], resources: [pods/exec], verbs: [get]}
---
kind: ClusterRole
metadata: {name: elsewhere}
rules:
  - {apiGroups: [""], resources: [pods], verbs: [list]}
"""


class AuthorizationTests(unittest.TestCase):
    def refusal(self, method, path):
        return self.rights.refusal(method, urllib.parse.urlsplit(path))

    def setUp(self):
        self.rights = authorization.Rights(MANIFEST, ["shop"])

    def test_a_request_is_for_a_resource_by_its_path_and_method(self):
        for method, path, expected in [
            ("GET", "/api/v1/namespaces/agents/pods?limit=5", ("agents", "", "pods", "list")),
            ("GET", "/api/v1/namespaces/agents/pods?watch=true", ("agents", "", "pods", "watch")),
            ("GET", "/api/v1/pods", ("", "", "pods", "list")),
            ("GET", "/api/v1/namespaces/agents", ("", "", "namespaces", "get")),
            ("GET", "/api/v1/namespaces/agents/pods/a/log", ("agents", "", "pods/log", "get")),
            ("POST", "/api/v1/namespaces/agents/pods/a/exec?command=x", ("agents", "", "pods/exec", "create")),
            ("PATCH", "/apis/apps/v1/namespaces/agents/daemonsets/a", ("agents", "apps", "daemonsets", "patch")),
            ("GET", "/apis/apps/v1", None), ("GET", "/version", None), ("GET", "/api", None),
        ]:
            with self.subTest(path):
                self.assertEqual(authorization.attributes(method, urllib.parse.urlsplit(path)), expected)

    def test_what_no_role_grants_is_refused_and_what_one_grants_is_noted(self):
        self.assertIsNone(self.refusal("GET", "/api/v1/namespaces/agents/pods/a"))
        self.assertIsNone(self.refusal("GET", "/api/v1/namespaces/shop/pods"))
        self.assertIsNone(self.refusal("GET", "/apis"))
        for method, path in [
            ("GET", "/api/v1/namespaces/agents/pods"), ("GET", "/api/v1/namespaces/shop/pods/a"), ("GET", "/api/v1/pods"),
            ("DELETE", "/api/v1/namespaces/agents/pods/a"), ("GET", "/apis/apps/v1/namespaces/agents/pods/a"),
        ]:
            with self.subTest(path):
                self.assertIn("is forbidden: ", self.refusal(method, path))
        self.assertEqual(self.rights.summary["used"], ["agents  pods get", "shop  pods list"])
        self.assertEqual(len(self.rights.summary["granted"]), 4)

    def test_a_command_over_websocket_takes_the_right_to_create_as_well(self):
        path = "/api/v1/namespaces/agents/pods/a/exec"
        self.assertIn('cannot create resource "pods/exec"', self.refusal("GET", path))
        self.rights.granted.add(("agents", "", "pods/exec", "create"))
        self.assertIsNone(self.refusal("GET", path))


if __name__ == "__main__":
    unittest.main()
