"""What there is to render, and how it is rendered."""
import pathlib
import subprocess
import tempfile

import yaml

DEPLOY = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = DEPLOY / "golden"
KUBECTL = DEPLOY.parent / ".build/deploy/bin/kubectl"
HELM = DEPLOY.parent / ".build/deploy/bin/helm"

# A pod template of each kind, for the components that belong into a workload's own kustomization.
WORKLOADS = DEPLOY / "tests/workloads.yaml"


# What the chart does not start without.
REQUIRED_VALUES = {
    "google": {
        "provider": "//iam.googleapis.com/projects/1234567890/locations/global/workloadIdentityPools/my-pool"
        "/providers/my-cluster",
        "projectId": "my-project",
        "projectNumber": "1234567890",
    }
}
# All that the chart needs where AWS alone is served.
AWS_VALUES = {"config": {"clouds": "aws"}}
# Every switch of the chart.
ALL_VALUES = REQUIRED_VALUES | {
    "image": {"pullSecrets": ["registry"]},
    "config": {"log": {"level": "debug"}, "admin": {"socket": "/run/podidentd/other.sock"}},
    "hardened": True,
    "rbac": {
        "audienceScopes": [{"namespace": "team-a", "serviceAccounts": ["app", "other"]}, {"namespace": "team-b"}],
        "readServiceAccounts": True,
        "cloudAudiences": {"aws": "sts.amazonaws.com", "azure": "api://AzureADTokenExchange"},
    },
    "startupTaint": True,
    "bootGuard": True,
    "dns": {"hostsPolicy": True, "reservedNames": True},
}


class Duplicate(yaml.constructor.ConstructorError):
    pass


class StrictLoader(yaml.SafeLoader):
    """Refuses a key that is there twice, which YAML libraries let pass."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise Duplicate(None, None, f"'{key}' is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def documents(text):
    return [document for document in yaml.load_all(text, Loader=StrictLoader) if document]


def kustomize(directory):
    result = subprocess.run([str(KUBECTL), "kustomize", str(directory)], capture_output=True, text=True)
    if result.returncode != 0 or "Warning" in result.stderr:
        raise RuntimeError(f"{directory}: {result.stderr}")
    return result.stdout


def with_components(resource, components):
    """Renders `resource` with components on top, as a site's own kustomization would."""
    with tempfile.TemporaryDirectory(dir=DEPLOY) as directory:
        path = pathlib.Path(directory)
        resources = f"../{resource.relative_to(DEPLOY)}"
        if resource.is_file():
            (path / resource.name).write_text(resource.read_text())
            resources = resource.name
        (path / "kustomization.yaml").write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "kustomize.config.k8s.io/v1beta1",
                    "kind": "Kustomization",
                    "resources": [resources],
                    "components": [f"../{component.relative_to(DEPLOY)}" for component in components],
                }
            )
        )
        return kustomize(path)


class ChartError(Exception):
    pass


def helm(values):
    """Renders the chart; throws the words of helm if it refuses the values."""
    command = [str(HELM), "template", "podidentd", str(DEPLOY / "helm"), "--namespace", "podidentd", "--values", "-"]
    result = subprocess.run(command, input=yaml.safe_dump(values), capture_output=True, text=True)
    if result.returncode != 0:
        raise ChartError(result.stderr)
    # helm 4 writes an empty line between two objects, which says nothing.
    return result.stdout.replace("\n\n---\n", "\n---\n")


def overlays():
    return sorted(path.parent for path in DEPLOY.glob("overlays/*/kustomization.yaml"))


def components():
    return sorted(path.parent for path in DEPLOY.glob("components/*/kustomization.yaml"))


def workload_components():
    return sorted(path.parent for path in DEPLOY.glob("workload/*/kustomization.yaml"))


def renderings():
    """Every rendering, by the name of its golden file: the overlays, the example of a site, each component on kubeadm, the
    components for workloads on one of each kind, and the chart."""
    result = {path.name: kustomize(path) for path in overlays()}
    result["site"] = kustomize(DEPLOY / "site")
    result["site-without-google"] = kustomize(DEPLOY / "site-without-google")
    result["signer"] = kustomize(DEPLOY / "signer")
    for component in components():
        result[f"component-{component.name}"] = with_components(DEPLOY / "overlays/kubeadm", [component])
    for component in workload_components():
        result[f"workload-{component.name}"] = with_components(WORKLOADS, [component])
    result["helm-kubeadm"] = helm(REQUIRED_VALUES)
    result["helm-aws"] = helm(AWS_VALUES)
    result["helm-everything"] = helm(ALL_VALUES)
    for path in sorted(DEPLOY.glob("dns/*.yaml")):
        result[f"dns-{path.stem}"] = path.read_text()
    return result
