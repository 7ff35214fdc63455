#!/bin/bash
# containerd's CRI lists an imported image under a name by which it finds no image.
#
# Versions: containerd 1.6.20~ds1-1+deb12u3, libseccomp2 2.5.4-1+deb12u1 (Debian 12); grpcio 1.85.3 (PyPI).
# Expected: an archive whose image is called example:1 (OCI's org.opencontainers.image.ref.name) is refused, or imported under the
#           full name docker.io/library/example:1; and each name that ListImages returns can be given to ImageStatus.
# Seen:     `ctr -n k8s.io images import` stores the name as it is. ListImages shows docker.io/library/example:1, and ImageStatus
#           of this name and of example:1 finds nothing: a pod with either ends in ErrImageNeverPull or pulls from a registry.
#           The same image called registry.example.com/example:1 is listed and found by that name.
# So what:  an archive for import holds a full name; that `crictl images` shows an image proves nothing.
# Needs root: runs containerd.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download containerd=1.6.20~ds1-1+deb12u3 libseccomp2=2.5.4-1+deb12u1
for package in *.deb; do dpkg-deb -x "$package" packages; done
export LD_LIBRARY_PATH=$folder/packages/usr/lib/$(uname -m)-linux-gnu
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check grpcio==1.85.3
cat > try.py <<'PY'
import hashlib, io, json, pathlib, subprocess, sys, tarfile

import grpc

folder = pathlib.Path.cwd()
programs = folder / "packages/usr/bin"
socket = folder / "containerd.sock"


def archive(name):
    """An image of one empty layer, as an OCI archive."""
    files = {}

    def blob(data):
        digest = hashlib.sha256(data).hexdigest()
        files[f"blobs/sha256/{digest}"] = data
        return {"digest": f"sha256:{digest}", "size": len(data)}

    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(name.replace("/", "_").replace(":", "_")))
    content = blob(layer.getvalue())
    config = blob(json.dumps({
        "architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [content["digest"]]},
    }).encode())
    types = "application/vnd.oci.image."
    manifest = blob(json.dumps({
        "schemaVersion": 2, "mediaType": types + "manifest.v1+json",
        "config": {"mediaType": types + "config.v1+json", **config},
        "layers": [{"mediaType": types + "layer.v1.tar", **content}],
    }).encode())
    entry = {"mediaType": types + "manifest.v1+json", **manifest, "annotations": {"org.opencontainers.image.ref.name": name}}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    files["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    path = folder / "image.tar"
    with tarfile.open(path, "w") as tar:
        for file, data in files.items():
            header = tarfile.TarInfo(file)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return path


(folder / "config.toml").write_text(f"""
version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
  address = "{socket}"
[ttrpc]
  address = "{socket}.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  disable_apparmor = true
""")
log = open(folder / "log", "w")
containerd = subprocess.Popen([programs / "containerd", "--config", "config.toml"], stdout=log, stderr=log)
try:
    channel = grpc.insecure_channel(f"unix:{socket}")
    grpc.channel_ready_future(channel).result(30)
    for name in ("example:1", "registry.example.com/example:1"):
        importing = [programs / "ctr", "--address", socket, "-n", "k8s.io", "images", "import", archive(name)]
        subprocess.run(importing, check=True, stdout=subprocess.DEVNULL)

    def ask(method, request=b""):
        return channel.unary_unary(f"/runtime.v1.ImageService/{method}")(request, timeout=30)

    # The interface reads of an import a moment after its end.
    while len(listed := ask("ListImages")) == 0 or b"registry.example.com/example:1" not in listed:
        pass
    for name in ("example:1", "docker.io/library/example:1", "registry.example.com/example:1"):
        text = name.encode()
        # ImageStatusRequest{image: ImageSpec{image: name}}; an answer without an image is empty.
        status = ask("ImageStatus", bytes([10, len(text) + 2, 10, len(text)]) + text)
        # The byte before a name is its length.
        is_listed = bytes([len(text)]) + text in listed
        print(name, "listed" if is_listed else "not listed", "found" if status else "not found")
finally:
    containerd.terminate()
    containerd.wait()
PY
seen=$(unshare --mount --propagation slave venv/bin/python try.py)
echo "$seen"
[ "$seen" = "example:1 not listed not found
docker.io/library/example:1 listed not found
registry.example.com/example:1 listed found" ]
