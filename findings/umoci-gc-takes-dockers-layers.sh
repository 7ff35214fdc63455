#!/bin/bash
# `umoci gc` takes the layers away from every tagged image whose manifest has Docker's media type, with status 0.
#
# Versions: umoci 0.4.7+ds-3+b7 (Debian 12). 0.6.0 did the same when it was tried.
# Expected: gc retains "blobs which can be reached by a descriptor path from the root set of tags" (umoci-gc(1)). An index of an image
#           layout may name manifests of other types than OCI's: "an encountered mediaType that is unknown to the implementation MUST NOT
#           generate an error", and the compatibility matrix has Docker's manifest and list beside OCI's (OCI image specification 1.1:
#           Image Index, Media Types). What gc cannot read it leaves alone, or it says so.
# Seen:     gc follows OCI's two types and no other. Of an image with Docker's manifest nothing but the manifest is left, of one with
#           Docker's manifest list nothing but the list, without a word; `umoci ls` has their tags as before. OCI's image beside them is
#           whole. `umoci stat` says of Docker's types that they are not implemented, but gc does not ask.
# So what:  `crane pull --format=oci` writes such layouts, for it keeps a registry's manifest as it is, and oras and skopeo 1.22 read them until
#           then. A layout that others write to is collected only after a look at the mediaType of everything in its index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download umoci=0.4.7+ds-3+b7
for package in *.deb; do dpkg-deb -x "$package" packages; done
cat > try.py <<'PY'
import hashlib, io, json, pathlib, subprocess, tarfile

UMOCI = "packages/usr/bin/umoci"
OCI, DOCKER = "application/vnd.oci.image.", "application/vnd.docker."
TYPES = {
    "oci": (OCI + "manifest.v1+json", OCI + "config.v1+json", OCI + "layer.v1.tar"),
    "docker": (DOCKER + "distribution.manifest.v2+json", DOCKER + "container.image.v1+json", DOCKER + "image.rootfs.diff.tar"),
}
blobs = pathlib.Path("layout/blobs/sha256")
blobs.mkdir(parents=True)


def blob(kind, data):
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}


def image(kinds, name):
    """An image with one layer that has one empty file of that name."""
    manifest, config, layer = TYPES[kinds]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    content = blob(layer, archive.getvalue())
    settings = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [content["digest"]]}}
    return blob(manifest, {"schemaVersion": 2, "mediaType": manifest, "config": blob(config, settings), "layers": [content]})


def count(descriptor):
    """How many of the blobs that the descriptor leads to are there, and how many are not, as far as what is there tells."""
    path = blobs / descriptor["digest"].split(":")[1]
    if not path.exists():
        return [0, 1]
    inner = json.loads(path.read_bytes()) if "manifest" in descriptor["mediaType"] else {}
    parts = [count(item) for item in [inner.get("config"), *inner.get("layers", []), *inner.get("manifests", [])] if item]
    return [1 + sum(part[0] for part in parts), sum(part[1] for part in parts)]


list_type = DOCKER + "distribution.manifest.list.v2+json"
listed = {**image("docker", "listed"), "platform": {"architecture": "amd64", "os": "linux"}}
roots = {
    "oci": image("oci", "oci"), "docker": image("docker", "docker"),
    "list": blob(list_type, {"schemaVersion": 2, "mediaType": list_type, "manifests": [listed]}),
}
pathlib.Path("layout/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [
    {**root, "annotations": {"org.opencontainers.image.ref.name": tag}} for tag, root in roots.items()]}))
pathlib.Path("layout/oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
before = {tag: count(root) for tag, root in roots.items()}
said = subprocess.run([UMOCI, "gc", "--layout", "layout"], capture_output=True, text=True)
after = {tag: count(root) for tag, root in roots.items()}
tags = subprocess.run([UMOCI, "ls", "--layout", "layout"], capture_output=True, text=True, check=True).stdout.split()
print("blobs there and missing, before:", before, "after:", after)
print(f"gc: status {said.returncode}, {(said.stdout + said.stderr)!r}; tags: {tags}")
assert before == {"oci": [3, 0], "docker": [3, 0], "list": [4, 0]}
assert (said.returncode, said.stdout + said.stderr, sorted(tags)) == (0, "", ["docker", "list", "oci"])
assert after == {"oci": [3, 0], "docker": [1, 2], "list": [1, 1]}, "umoci behaves differently now"
PY
python3 try.py
