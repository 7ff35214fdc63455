"""The chart: the same objects as the overlays and components, and no values that make no sense."""
import copy
import json
import re
import unittest

import yaml

import manifests

# Where the overlays have an example, the chart has a value.
EXAMPLES = {
    "//iam.googleapis.com/projects/PROJECT_NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER": (
        manifests.REQUIRED_VALUES["google"]["provider"]
    ),
    "PROJECT_NUMBER": manifests.REQUIRED_VALUES["google"]["projectNumber"],
    "TRUST_DOMAIN": "prod.example",
    "PROJECT_ID": manifests.REQUIRED_VALUES["google"]["projectId"],
}


def normalised(text):
    """The objects by kind and name, without what is told apart on purpose: the labels of objects, the hash in the names of
    ConfigMaps and what takes its place, the namespace (which helm makes itself), the text of the configuration, and order
    where it means nothing."""
    text = re.sub(r"\bpodidentd-(config|settings)-[a-z0-9]{10}\b", r"podidentd-\1", text)
    result = {}
    for document in manifests.documents(text):
        if document["kind"] == "Namespace":
            continue
        metadata = document["metadata"]
        metadata.pop("labels", None)
        data = document.get("data", {})
        if "podidentd.yaml" in data:
            data["podidentd.yaml"] = yaml.safe_load(data["podidentd.yaml"])
        if document["kind"] == "DaemonSet":
            template = document["spec"]["template"]
            template["metadata"].pop("annotations", None)
            pod = template["spec"]
            pod["volumes"].sort(key=lambda volume: volume["name"])
            pod["containers"][0]["volumeMounts"].sort(key=lambda mount: mount["name"])
            pod["containers"][0]["securityContext"].get("capabilities", {}).get("add", []).sort()
        key = (document["kind"], metadata.get("namespace"), metadata["name"])
        assert key not in result, key
        result[key] = document
    return result


def kustomized(name):
    text = (manifests.GOLDEN / f"{name}.yaml").read_text()
    for example, value in EXAMPLES.items():
        text = text.replace(f"{example}\n", f"{value!r}\n" if value.isdigit() else f"{value}\n")
    return normalised(text)


def values(**changes):
    return manifests.REQUIRED_VALUES | changes


class EqualityTests(unittest.TestCase):
    maxDiff = None

    def test_each_distribution_renders_what_its_overlay_renders(self):
        names = {path.name for path in manifests.overlays()} - {"kubeadm-hardened"}
        schema = json.loads((manifests.DEPLOY / "helm/values.schema.json").read_text())
        self.assertEqual(set(schema["properties"]["distribution"]["enum"]), names)
        for name in names:
            with self.subTest(name):
                self.assertEqual(normalised(manifests.helm(values(distribution=name))), kustomized(name))

    def test_each_switch_renders_what_its_component_renders(self):
        namespace = {"namespace": "team-a"}
        switches = {
            "hardened": {"hardened": True},
            "startup-taint": {"startupTaint": True},
            "boot-guard": {"bootGuard": True},
            "dns-hosts-policy": {"dns": {"hostsPolicy": True}},
            "reserved-names": {"dns": {"reservedNames": True}},
            "read-service-accounts": {"rbac": {"readServiceAccounts": True}},
            "audience-aws": {"rbac": {"cloudAudiences": {"aws": "sts.amazonaws.com"}}},
            "audience-azure": {"rbac": {"cloudAudiences": {"azure": "api://AzureADTokenExchange"}}},
            "spiffe": {"spiffe": {"trustDomain": "prod.example", "signer": "https://10.96.0.56:8443"}},
            "audience-by-namespace": {"rbac": {"audienceScopes": [namespace]}},
            "audience-by-service-account": {"rbac": {"audienceScopes": [namespace | {"serviceAccounts": ["app"]}]}},
        }
        self.assertEqual(set(switches), {path.name for path in manifests.components()} - {"without-google"})
        for name, switch in switches.items():
            with self.subTest(name):
                rendered = normalised(manifests.helm(values(**switch)))
                self.assertEqual(rendered, kustomized(f"component-{name}"))

    def test_without_google_the_chart_needs_no_value_of_google_and_renders_what_the_component_renders(self):
        components = manifests.DEPLOY / "components"
        for cloud, audience in (("aws", "sts.amazonaws.com"), ("azure", "api://AzureADTokenExchange")):
            with self.subTest(cloud):
                text = manifests.helm({"config": {"clouds": cloud}})
                self.assertNotIn("google", text.lower())
                rendered = normalised(text)
                # The chart names the clouds in the file, a site of kustomize by its variable.
                configuration = rendered["ConfigMap", "podidentd", "podidentd-config"]["data"]["podidentd.yaml"]
                self.assertEqual(configuration.pop("clouds"), cloud)
                chosen = [components / "without-google", components / f"audience-{cloud}"]
                site = manifests.with_components(manifests.DEPLOY / "overlays/kubeadm", chosen)
                self.assertEqual(rendered, normalised(site))
                rules = [role["rules"][0]["resources"] for key, role in rendered.items() if key[0] == "ClusterRole"]
                self.assertEqual(rules, [[audience]])

    def test_each_cloud_that_is_served_has_the_rule_of_its_audience_in_every_scope(self):
        scopes = [{"namespace": "team-a", "serviceAccounts": ["app"]}, {"namespace": "team-b"}]
        cases = [
            ("google, aws", {}, {"podidentd-audience-aws": "sts.amazonaws.com"}),
            (["google", "azure"], {}, {"podidentd-audience-azure": "api://AzureADTokenExchange"}),
            ("google,aws", {"aws": {"audience": "own"}}, {"podidentd-audience-aws": "own"}),
        ]
        provider = manifests.REQUIRED_VALUES["google"]["provider"]
        for clouds, settings, expected in cases:
            expected = expected | {"podidentd-audience": provider}
            config = {"clouds": clouds} | settings
            for scope in ([], scopes):
                with self.subTest(clouds=clouds, scope=scope):
                    rendered = normalised(manifests.helm(values(config=config, rbac={"audienceScopes": scope})))
                    kind = "Role" if scope else "ClusterRole"
                    for namespace in [s["namespace"] for s in scope] or [None]:
                        roles = {
                            name: role["rules"][0]["resources"]
                            for (found, where, name), role in rendered.items()
                            if (found, where) == (kind, namespace)
                        }
                        self.assertEqual(roles, {name: [audience] for name, audience in expected.items()})
                    self.assertNotIn("Role" if kind == "ClusterRole" else "ClusterRole", {key[0] for key in rendered})

    def test_further_configuration_is_merged_into_the_file_and_replaces_the_pods(self):
        def parts(text):
            documents = manifests.documents(text)
            (file,) = [d["data"]["podidentd.yaml"] for d in documents if "podidentd.yaml" in d.get("data", {})]
            (pod,) = [d["spec"]["template"] for d in documents if d["kind"] == "DaemonSet"]
            return yaml.safe_load(file), pod["metadata"]["annotations"]["checksum/config"]

        plain, first = parts(manifests.helm(values()))
        changed, second = parts(manifests.helm(values(config={"admin": {"socket": "/run/x"}, "log": {"level": "debug"}})))
        self.assertEqual(changed, plain | {"admin": {"socket": "/run/x"}, "log": {"level": "debug"}})
        self.assertNotEqual(first, second)

    def test_metadata_through_tls_and_the_way_of_certificates_are_settings(self):
        spiffe = {"trustDomain": "prod.example", "signer": "https://10.96.0.56:8443"}
        plain = manifests.helm(values(spiffe=spiffe))
        self.assertNotIn("PODIDENTD_SPIFFE_METADATA_PORT", plain)
        self.assertNotIn("PODIDENTD_SPIFFE_CERTIFICATES", plain)
        changed = manifests.helm(values(spiffe=spiffe | {"metadataPort": 443, "certificates": "exchange"}))
        self.assertIn('PODIDENTD_SPIFFE_METADATA_PORT: "443"', changed)
        self.assertIn('PODIDENTD_SPIFFE_CERTIFICATES: "exchange"', changed)
        for wrong in ({"metadataPort": 80}, {"metadataPort": 70000}, {"certificates": "none"}):
            with self.subTest(wrong), self.assertRaises(manifests.ChartError):
                manifests.helm(values(spiffe=spiffe | wrong))

    def test_the_rule_is_about_the_audience_of_the_tokens(self):
        text = manifests.helm(values(config={"google": {"token-audience": "https://pool.example"}}))
        (role,) = [d for d in manifests.documents(text) if d["kind"] == "ClusterRole"]
        self.assertEqual(role["rules"][0]["resources"], ["https://pool.example"])

    def test_chart_agent_and_plugin_have_one_version(self):
        chart = yaml.safe_load((manifests.DEPLOY / "helm/Chart.yaml").read_text())
        source = (manifests.DEPLOY.parent / "Sources/Settings/AgentVersion.swift").read_text()
        version = re.search(r'current = "([^"]+)"', source).group(1)
        plugin = (manifests.DEPLOY.parent / "Sources/KubectlPlugin/PluginVersion.swift").read_text()
        self.assertIn(f'current = "{version}"', plugin)
        self.assertEqual({chart["version"], chart["appVersion"]}, {version})


class SchemaTests(unittest.TestCase):
    def test_values_that_make_no_sense_are_refused_with_their_place(self):
        google = manifests.REQUIRED_VALUES["google"]
        cases = {
            "/google/provider": {"google": google | {"provider": "*"}},
            "/google/projectNumber": {"google": google | {"projectNumber": "my-project"}},
            "/google/projectId": {"google": google | {"projectId": "My_Project"}},
            "/distribution": {"distribution": "gke"},
            "/hardened": {"hardened": "yes"},
            "/rbac/audienceScopes/0": {"rbac": {"audienceScopes": [{"serviceAccounts": ["app"]}]}},
            "/rbac/audienceScopes/0/namespace": {"rbac": {"audienceScopes": [{"namespace": "*"}]}},
            "/rbac/audienceScopes/0/serviceAccounts": {
                "rbac": {"audienceScopes": [{"namespace": "a", "serviceAccounts": []}]}
            },
            "/rbac/cloudAudiences/aws": {"rbac": {"cloudAudiences": {"aws": "*"}}},
            "harden": {"harden": True},
            "/config/clouds": {"config": {"clouds": "gcp"}},
            # A rule for any namespace: see docs/operate/configuration.md.
            "/config/policies/1": {
                "config": {
                    "policies": [
                        {"policy": "deny", "labels": "a"},
                        {"policy": "passthrough", "service-account": "node-agent"},
                    ]
                }
            },
        }
        for place, change in cases.items():
            with self.subTest(place), self.assertRaises(manifests.ChartError) as refusal:
                manifests.helm(copy.deepcopy(manifests.REQUIRED_VALUES) | change)
            self.assertIn(place, str(refusal.exception))

    def test_a_policy_that_names_a_namespace_is_rendered(self):
        rule = {"policy": "passthrough", "namespace": "infra", "service-account": "node-agent"}
        self.assertIn("service-account: node-agent", manifests.helm(values(config={"policies": [rule]})))
