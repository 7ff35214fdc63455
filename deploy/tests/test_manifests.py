"""The manifests as kubectl renders them: as committed, valid for every supported Kubernetes, and with no right too many."""
import copy
import functools
import json
import re
import unittest

import kubernetes_validate

import manifests
import rights

VERSIONS = ["1.31", "1.33", "1.36", "1.37"]
# Since when the schemas know a kind's version, and where a component needs what is newer.
SINCE = {"MutatingAdmissionPolicy": "1.36", "MutatingAdmissionPolicyBinding": "1.36"}


@functools.cache
def renderings():
    return manifests.renderings()


def agents(name):
    return [
        document["spec"]["template"]["spec"]
        for document in manifests.documents(renderings()[name])
        if document["kind"] == "DaemonSet" and document["metadata"]["name"] == "podidentd"
    ]


def number(version):
    return tuple(int(part) for part in version.split("."))


class RenderingTests(unittest.TestCase):
    def test_what_is_rendered_is_what_is_committed(self):
        self.maxDiff = None
        committed = {path.stem: path.read_text() for path in manifests.GOLDEN.glob("*.yaml")}
        self.assertEqual(set(committed), set(renderings()), "run 'make golden', and commit what it wrote")
        for name, text in renderings().items():
            with self.subTest(name):
                self.assertEqual(committed[name], text, "run 'make golden', and read the difference before you commit it")

    def test_every_object_is_valid_in_every_version_that_knows_its_kind(self):
        checked = 0
        for name, text in renderings().items():
            for document in manifests.documents(text):
                for version in VERSIONS:
                    if number(version) < number(SINCE.get(document["kind"], "1.31")):
                        continue
                    with self.subTest(name, kind=document["kind"], version=version):
                        kubernetes_validate.validate(document, version, strict=True)
                        checked += 1
        self.assertGreater(checked, 300)

    def test_the_validator_refuses_an_unknown_field_and_a_wrong_type(self):
        good = next(
            document for document in manifests.documents(renderings()["kubeadm"]) if document["kind"] == "DaemonSet"
        )
        for change in [
            lambda pod: pod["containers"][0].update(volumeMount=[]),
            lambda pod: pod.update(hostNetwork="yes"),
            lambda pod: pod["containers"][0]["securityContext"].update(capabilites={"add": ["BPF"]}),
        ]:
            bad = copy.deepcopy(good)
            change(bad["spec"]["template"]["spec"])
            with self.assertRaises(kubernetes_validate.ValidationError):
                kubernetes_validate.validate(bad, VERSIONS[0], strict=True)

    def test_every_mount_has_its_volume_and_every_volume_its_mount(self):
        for name in renderings():
            for pod in agents(name):
                with self.subTest(name):
                    containers = pod["containers"] + pod.get("initContainers", [])
                    mounts = {mount["name"] for container in containers for mount in container["volumeMounts"]}
                    self.assertEqual(sorted(mounts), sorted(volume["name"] for volume in pod["volumes"]))
                    for container in containers:
                        targets = [mount["mountPath"] for mount in container["volumeMounts"]]
                        self.assertEqual(len(targets), len(set(targets)))

    def test_only_the_boot_guard_has_an_init_container_which_has_no_right_and_writes_its_two_directories(self):
        for name in renderings():
            for pod in agents(name):
                with self.subTest(name):
                    containers = pod.get("initContainers", [])
                    expected = ["boot-guard"] if name in ("component-boot-guard", "helm-everything") else []
                    self.assertEqual([container["name"] for container in containers], expected)
                    for container in containers:
                        security = container["securityContext"]
                        self.assertEqual(security["capabilities"], {"drop": ["ALL"]})
                        self.assertIs(security["privileged"], False)
                        writable = {m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")}
                        self.assertEqual(writable, {"/host/etc/podidentd", "/host/etc/systemd/system"})

    def test_only_the_pins_and_the_admin_socket_are_writable(self):
        for name in renderings():
            for pod in agents(name):
                with self.subTest(name):
                    writable = {m["name"] for m in pod["containers"][0]["volumeMounts"] if not m.get("readOnly")}
                    self.assertEqual(writable, {"bpf", "run"})

    def test_the_kubeconfig_that_is_named_is_mounted_at_its_own_path(self):
        for overlay in manifests.overlays():
            with self.subTest(overlay.name):
                settings = [d for d in manifests.documents(renderings()[overlay.name]) if d["kind"] == "ConfigMap"]
                (path,) = [
                    d["data"]["PODIDENTD_KUBERNETES_KUBECONFIG"]
                    for d in settings
                    if "PODIDENTD_KUBERNETES_KUBECONFIG" in d["data"]
                ]
                (pod,) = agents(overlay.name)
                sources = {volume["name"]: volume.get("hostPath", {}).get("path") for volume in pod["volumes"]}
                found = [
                    mount
                    for mount in pod["containers"][0]["volumeMounts"]
                    if (path + "/").startswith(mount["mountPath"] + "/")
                ]
                self.assertEqual(len(found), 1)
                self.assertEqual(sources[found[0]["name"]], found[0]["mountPath"])

    def test_no_port_is_declared_so_that_two_pods_may_share_a_node_during_an_upgrade(self):
        for name in renderings():
            for pod in agents(name):
                self.assertNotIn("ports", pod["containers"][0], name)

    def test_the_token_of_the_service_account_is_mounted_only_for_the_startup_taint(self):
        for name in renderings():
            for pod in agents(name):
                with self.subTest(name):
                    self.assertIs(pod["automountServiceAccountToken"], False)
                    projected = [volume["name"] for volume in pod["volumes"] if "projected" in volume]
                    expected = ["token"] if name in ("component-startup-taint", "helm-everything") else []
                    self.assertEqual(projected, expected)

    def test_the_hardened_agent_has_the_capabilities_that_it_and_its_opener_keep_and_cannot_gain_any(self):
        source = (manifests.DEPLOY.parent / "Sources/Hardening/Capability.swift").read_text()
        kept = {re.sub(r"([A-Z])", r"_\1", name).upper() for name in re.findall(r"case (\w+) = \d+", source)}
        self.assertEqual(kept, {"BPF", "PERFMON", "NET_ADMIN", "DAC_READ_SEARCH"})
        opener = (manifests.DEPLOY.parent / "Sources/podidentd-opener/rights.c").read_text()
        opened = set(re.findall(r"1ull << CAP_(\w+)", opener))
        self.assertEqual(opened, {"SYS_ADMIN", "NET_BIND_SERVICE", "SYS_PTRACE"})
        for name in ("kubeadm-hardened", "component-hardened", "helm-everything"):
            (pod,) = agents(name)
            security = pod["containers"][0]["securityContext"]
            self.assertEqual(security["capabilities"]["drop"], ["ALL"])
            self.assertEqual(set(security["capabilities"]["add"]), kept | opened)
            self.assertIs(security["privileged"], False)
            self.assertIs(security["allowPrivilegeEscalation"], False)
            self.assertIs(security["readOnlyRootFilesystem"], True)

    def test_the_seccomp_profile_allows_by_name_only(self):
        profile = json.loads((manifests.DEPLOY / "components/hardened/seccomp.json").read_text())
        self.assertEqual(profile["defaultAction"], "SCMP_ACT_ERRNO")
        names = [name for entry in profile["syscalls"] for name in entry["names"]]
        self.assertEqual(len(names), len(set(names)))
        # The agent's own filter, and what it calls before that is in place: giving up rights, and the filter itself.
        header = (manifests.DEPLOY.parent / "Sources/CHardening/allowed.h").read_text()
        own = set(re.findall(r"\bSYS_(\w+)", header[header.index("static const int") :]))
        self.assertGreater(len(own), 100)
        opener = {"setns"}
        self.assertEqual(set(names), own | opener | {"bpf", "socket", "ioctl", "clone", "clone3", "seccomp", "capset"})
        (setns,) = [entry for entry in profile["syscalls"] if "setns" in entry["names"]]
        # CLONE_NEWNET, and no other kind of namespace.
        self.assertEqual([(a["index"], a["value"], a["op"]) for a in setns["args"]], [(1, 0x40000000, "SCMP_CMP_EQ")])
        for name in ("ptrace", "mount", "init_module", "unshare", "process_vm_readv", "kexec_load", "pidfd_getfd"):
            self.assertNotIn(name, names)

    def test_the_site_opens_exactly_the_audience_that_its_agent_asks_for(self):
        documents = manifests.documents(renderings()["site"])
        (provider,) = [
            d["data"]["PODIDENTD_GOOGLE_PROVIDER"]
            for d in documents
            if d["kind"] == "ConfigMap" and "PODIDENTD_GOOGLE_PROVIDER" in d["data"]
        ]
        (role,) = [d for d in documents if d["kind"] == "ClusterRole"]
        self.assertEqual(role["rules"][0]["resources"], [provider])
        self.assertNotIn("PROJECT_NUMBER/", renderings()["site"])

    def test_components_for_workloads_touch_every_pod_template_and_nothing_else(self):
        names = {"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"}
        for document in manifests.documents(renderings()["workload-host-aliases"]):
            if document["kind"] not in names:
                continue
            spec = document["spec"].get("jobTemplate", document)["spec"]["template"]["spec"]
            aliases = {alias["ip"]: alias["hostnames"] for alias in spec["hostAliases"]}
            self.assertIn("metadata.google.internal", aliases["169.254.169.254"], document["kind"])
            if document["kind"] == "Deployment":
                self.assertEqual(aliases["192.0.2.1"], ["db.example"])


def role(kind="ClusterRole", **rule):
    return lambda documents: documents.append(
        {"kind": kind, "metadata": {"name": "bad", "namespace": "podidentd"}, "rules": [rule]}
    )


def in_list(**rule):
    bad = {"kind": "Role", "metadata": {"name": "bad"}, "rules": [rule]}
    return lambda documents: documents.append({"kind": "RoleList", "metadata": {"name": "l"}, "items": [bad]})


def without(kind):
    def change(documents):
        documents[:] = [document for document in documents if document["kind"] != kind]
    return change


def changed(kind, path, value):
    def change(documents):
        (target,) = [d for d in documents if d["kind"] == kind and "startup-taint" in d["metadata"]["name"]]
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value
    return change


# By what it grants or takes away: what makes a rendering's documents wrong.
FORBIDDEN = {
    "mints tokens": role(apiGroups=[""], resources=["serviceaccounts/token"], verbs=["create"]),
    "mints tokens, in a Role": role("Role", apiGroups=[""], resources=["serviceaccounts/token"], verbs=["create"]),
    "mints tokens, in a List": in_list(apiGroups=[""], resources=["serviceaccounts/token"], verbs=["create"]),
    "mints tokens of one account": role(
        apiGroups=[""], resources=["serviceaccounts/token"], resourceNames=["a"], verbs=["create"]),
    "reads and mints tokens": role(
        apiGroups=[""], resources=["serviceaccounts", "serviceaccounts/token"], verbs=["get", "create"]),
    "lists ServiceAccounts": role(apiGroups=[""], resources=["serviceaccounts"], verbs=["get", "list"]),
    "every subresource": role(apiGroups=[""], resources=["serviceaccounts/*"], verbs=["create"]),
    "every verb": role(apiGroups=[""], resources=["pods"], verbs=["*"]),
    "every resource": role(apiGroups=[""], resources=["*"], verbs=["get"]),
    "every group": role(apiGroups=["*"], resources=["pods"], verbs=["get"]),
    "every audience": role(apiGroups=[""], resources=["*"], verbs=[rights.AUDIENCE_VERB]),
    "an audience that is none": role(apiGroups=[""], resources=["pods"], verbs=[rights.AUDIENCE_VERB]),
    "the API server's audience": role(apiGroups=[""], resources=["https://kubernetes.default.svc"], verbs=[rights.AUDIENCE_VERB]),
    "secrets": role(apiGroups=[""], resources=["secrets"], verbs=["get"]),
    "secrets beside pods": role(apiGroups=[""], resources=["pods", "secrets"], verbs=["list"]),
    "impersonation": role(apiGroups=[""], resources=["users"], verbs=["impersonate"]),
    "pods": role(apiGroups=[""], resources=["pods"], verbs=["get"]),
    "every URL": role(nonResourceURLs=["*"], verbs=["get"]),
    "aggregation": lambda documents: documents.append(
        {"kind": "ClusterRole", "metadata": {"name": "bad"}, "aggregationRule": {"clusterRoleSelectors": []}}),
    "a role of the cluster": lambda documents: documents.append(
        {
            "kind": "ClusterRoleBinding", "metadata": {"name": "bad"},
            "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "podidentd", "namespace": "podidentd"}],
        }),
    "rights for everybody": changed(
        "ClusterRoleBinding", ["subjects"], [{"kind": "Group", "name": "system:authenticated"}]),
    "changing nodes further": changed("ClusterRole", ["rules", 0, "verbs"], ["patch", "delete"]),
    "no policy": without("ValidatingAdmissionPolicy"),
    "no binding of the policy": without("ValidatingAdmissionPolicyBinding"),
    "a policy that only warns": changed(
        "ValidatingAdmissionPolicyBinding", ["spec", "validationActions"], ["Warn"]),
    "a policy that lets pass": changed("ValidatingAdmissionPolicy", ["spec", "failurePolicy"], "Ignore"),
    "a policy about another account": changed(
        "ValidatingAdmissionPolicy", ["spec", "matchConditions", 0, "expression"],
        "request.userInfo.username == 'system:serviceaccount:kube-system:podidentd'"),
}


class RightsTests(unittest.TestCase):
    def test_no_manifest_grants_a_right_too_many(self):
        roles = 0
        for name, text in renderings().items():
            documents = manifests.documents(text)
            roles += sum(document["kind"] in rights.ROLES for document in documents)
            with self.subTest(name):
                self.assertEqual(rights.problems(documents), [])
        self.assertGreater(roles, 10)

    def test_files_that_no_rendering_includes_are_read_too(self):
        for path in manifests.DEPLOY.rglob("*.yaml"):
            # The chart's templates are no YAML; it is rendered with every switch on.
            if path.name == "kustomization.yaml" or {manifests.GOLDEN, manifests.DEPLOY / "helm"} & set(path.parents):
                continue
            text = path.read_text()
            for kind in re.findall(r"^kind: (\w+)", text, re.MULTILINE):
                if kind in rights.ROLES and "$patch: delete" not in text:
                    found = any(
                        role["metadata"]["name"] in rendering and role["kind"] in rendering
                        for role in manifests.documents(text)
                        for rendering in renderings().values()
                    )
                    self.assertTrue(found, f"{path} is in no rendering")

    def test_each_forbidden_right_is_found(self):
        documents = manifests.documents(renderings()["component-startup-taint"])
        self.assertEqual(rights.problems(documents), [])
        for name, mutate in FORBIDDEN.items():
            with self.subTest(name):
                bad = copy.deepcopy(documents)
                mutate(bad)
                self.assertNotEqual(rights.problems(bad), [])


if __name__ == "__main__":
    unittest.main()
