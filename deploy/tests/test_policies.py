"""The expressions of the startup taint's policy, evaluated (CEL) on every field that a Node of any version has."""
import copy
import functools
import json
import pathlib
import unittest

import kubernetes_validate
from cel_expr_python import cel
from cel_expr_python.ext import ext_optional

import manifests

TAINT = "podidentd.io/agent-not-ready"
ACCOUNT = "system:serviceaccount:podidentd:podidentd"
VERSIONS = ["1.32", "1.33", "1.34", "1.35", "1.36", "1.37"]
# What an update cannot change: the API server keeps, sets or refuses it (ValidateObjectMetaUpdate, rest.BeforeUpdate).
KEPT_BY_SERVER = {
    "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "managedFields", "name",
    "namespace", "resourceVersion", "selfLink", "uid",
}
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {
        "name": "node-a",
        "uid": "u",
        "resourceVersion": "7",
        "labels": {"kubernetes.io/hostname": "node-a"},
        "annotations": {"a": "b"},
        "finalizers": ["example.org/finalizer"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "o"}],
        "generateName": "node-",
    },
    "spec": {
        "taints": [{"key": "other", "effect": "NoSchedule"}, {"key": TAINT, "effect": "NoSchedule"}],
        "providerID": "gce://p/z/n",
        "podCIDR": "10.0.0.0/24",
        "podCIDRs": ["10.0.0.0/24"],
        "unschedulable": True,
        "externalID": "e",
        "configSource": {"configMap": {"name": "c"}},
        "podPreemptionPolicy": {"disableResizePreemption": ["x"]},
    },
    "status": {},
}


@functools.cache
def environment():
    names = ["object", "oldObject", "request"]
    return cel.NewEnv(
        variables={name: cel.Type.DYN for name in names}, extensions=[ext_optional.ExtOptional()]
    )


@functools.cache
def compiled(expression):
    return environment().compile(expression)


def fields(name):
    """The properties of an object by the name of its schema's file, of all versions that have the policy API."""
    root = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    result = {}
    for version in VERSIONS:
        schema = json.loads((root / f"v{version}.0-local" / f"{name}.json").read_text())
        result |= schema["properties"]
    return result


class FenceTests(unittest.TestCase):
    def policies(self):
        for name in ("component-startup-taint", "helm-everything"):
            documents = manifests.documents((manifests.GOLDEN / f"{name}.yaml").read_text())
            (policy,) = [
                d for d in documents
                if (d["kind"], d["metadata"]["name"]) == ("ValidatingAdmissionPolicy", "podidentd-startup-taint")
            ]
            yield name, policy["spec"]

    def denials(self, policy, old, new, node="node-a", user=ACCOUNT):
        """The messages of the validations that deny; None if the policy is not about this request."""
        extra = {} if node is None else {"authentication.kubernetes.io/node-name": [node]}
        data = {
            "object": new, "oldObject": old, "request": {"userInfo": {"username": user, "extra": extra}},
        }

        def holds(expression):
            return compiled(expression).eval(data=data).plain_value()

        if not all(holds(condition["expression"]) is True for condition in policy["matchConditions"]):
            return None
        # An error denies, too: failurePolicy is Fail.
        return [rule["message"] for rule in policy["validations"] if holds(rule["expression"]) is not True]

    def changed(self, **change):
        node = copy.deepcopy(NODE)
        for path, value in change.items():
            place, field = path.split("__")
            if value is None:
                node[place].pop(field, None)
            else:
                node[place][field] = value
        return node

    def test_its_own_taint_may_go_and_nothing_may_come(self):
        untainted = self.changed(spec__taints=NODE["spec"]["taints"][:1])
        bare = {"metadata": {"name": "node-a"}, "spec": {"taints": [NODE["spec"]["taints"][1]]}}
        for name, policy in self.policies():
            with self.subTest(name):
                self.assertEqual(policy["failurePolicy"], "Fail")
                self.assertEqual(self.denials(policy, NODE, untainted), [])
                self.assertEqual(self.denials(policy, bare, {"metadata": {"name": "node-a"}, "spec": {}}), [])
                self.assertEqual(self.denials(policy, NODE, NODE), ["the agent may only remove its own taint"])
                self.assertEqual(len(self.denials(policy, NODE, self.changed(spec__taints=None))), 1)
                self.assertEqual(len(self.denials(policy, untainted, NODE)), 1)

    def test_only_on_its_own_node_and_only_by_the_agent(self):
        untainted = self.changed(spec__taints=NODE["spec"]["taints"][:1])
        for name, policy in self.policies():
            with self.subTest(name):
                for node in ["node-b", "", None]:
                    self.assertEqual(
                        self.denials(policy, NODE, untainted, node=node), ["only the agent of this node may change it"]
                    )
                self.assertIsNone(self.denials(policy, NODE, self.changed(), user="system:serviceaccount:other:podidentd"))

    def test_every_other_field_of_every_version_must_stay(self):
        cases = {("metadata", field): schema for field, schema in fields("objectmeta-meta-v1").items()}
        cases |= {("spec", field): schema for field, schema in fields("nodespec-v1").items()}
        tried = 0
        for name, policy in self.policies():
            for place, field in cases:
                if field == "taints" or (place == "metadata" and field in KEPT_BY_SERVER):
                    continue
                self.assertIn(field, NODE[place], f"a version has a new field, {place}.{field}: give it a value above")
                untainted = self.changed(spec__taints=NODE["spec"]["taints"][:1])
                without = copy.deepcopy(untainted)
                del without[place][field]
                other = copy.deepcopy(untainted)
                other[place][field] = {
                    dict: {"x": "y"}, list: ["x"], str: "x", bool: False
                }[type(other[place][field])]
                bare = copy.deepcopy(NODE)
                del bare[place][field]
                with self.subTest(name, field=f"{place}.{field}"):
                    self.assertEqual(len(self.denials(policy, NODE, without)), 1)
                    self.assertEqual(len(self.denials(policy, NODE, other)), 1)
                    self.assertEqual(len(self.denials(policy, bare, untainted)), 1)
                    tried += 1
        self.assertGreaterEqual(tried, 24)

    def test_what_the_server_writes_may_differ(self):
        untainted = self.changed(
            spec__taints=NODE["spec"]["taints"][:1], metadata__resourceVersion="8", metadata__generation=2,
            metadata__managedFields=[{"manager": "podidentd"}],
        )
        for name, policy in self.policies():
            with self.subTest(name):
                self.assertEqual(self.denials(policy, NODE, untainted), [])
                self.assertEqual(self.denials(policy, untainted, self.changed(spec__taints=NODE["spec"]["taints"][:1])), [])


if __name__ == "__main__":
    unittest.main()
