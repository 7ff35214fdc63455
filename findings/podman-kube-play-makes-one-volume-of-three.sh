#!/bin/bash
# `podman kube play` makes one volume of a pod's three that name `web`, and writes a ConfigMap over what a claim of that name keeps.
#
# Versions: podman 5.4.2+ds1-2+b2, conmon 2.1.12-4, crun 1.21-1, netavark 1.14.0-2 (Debian 13). podman 5.8.6 of Debian's next release did
#           the same when it was tried, with containers that ran.
# Expected: a name is unique among objects of one kind (Kubernetes, Object Names and IDs): ConfigMap `web` and PersistentVolumeClaim `web`
#           have nothing in common. With `items` "unlisted keys will not be present"; an item's `path` may have folders, and its `mode` is
#           its file's (Kubernetes API, ConfigMapVolumeSource and KeyToPath). podman-kube-play(1) marks `volumes` as supported, and names
#           a claim's volume after the claim. It does not say how those of ConfigMaps are named.
# Seen:     1. all three mounts are Podman's volume `web`. The one with `items` has each key and the claim's files, and its own file has
#              the mode 0644 and not 0400.
#           2. what the program writes to /data/url, in its claim, is the ConfigMap's url again after the next `podman kube play`.
#           3. an item's path with a folder ends in an error.
# So what:  charts that have one full name for all objects lose a claim's data with Podman wherever two file names meet. Give a ConfigMap
#           and a claim names that differ, and mount single keys by subPath.
# Needs root: runs podman in a folder of its own. No container runs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p lists/partial cache/archives/partial image root/usr/{bin,sbin,lib,lib64} \
    root/{dev/shm,etc/containers,proc,root,run,sys/fs/cgroup,tmp,var/tmp}
# The mirror that this machine uses has the next release as well.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -1)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" > trixie.list
apt=(apt-get -qq -o APT::Sandbox::User=root -o Dir::Etc::SourceList="$folder/trixie.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::State::Lists="$folder/lists" -o Dir::Cache="$folder/cache" -o Acquire::Languages=none)
"${apt[@]}" update
"${apt[@]}" download podman=5.4.2+ds1-2+b2 conmon=2.1.12-4 crun=1.21-1 netavark=1.14.0-2 libacl1 libassuan9 libatomic1 libattr1 libaudit1 \
    libbsd0 libbz2-1.0 libc6 libcap-ng0 libcap2 libcrypt1 libgcc-s1 libglib2.0-0t64 libgpg-error0 libgpgme11t64 libmd0 libpam0g \
    libpcre2-8-0 libseccomp2 libselinux1 libsemanage2 libsepol2 libsqlite3-0 libsubid5 libsystemd0 libyajl2
for part in bin sbin lib lib64; do ln -s "usr/$part" "root/$part"; done
for package in *.deb; do dpkg-deb --fsys-tarfile "$package" | tar --extract --directory root --keep-directory-symlink; done
touch root/dev/null root/dev/urandom image/file
echo '{"default": [{"type": "insecureAcceptAnything"}]}' > root/etc/containers/policy.json
cat > root/etc/containers/containers.conf <<'CONF'
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
infra_image = "localhost/box:1"
lock_type = "file"
runtime = "crun"
CONF
cat > root/etc/containers/storage.conf <<'CONF'
[storage]
driver = "vfs"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
CONF
cat > root/shop.yaml <<'YAML'
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data: {url: "https://a.example", mode: fast}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: web}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: shop}
spec:
  hostNetwork: true
  volumes:
  - {name: settings, configMap: {name: web}}
  - {name: address, configMap: {name: web, items: [{key: url, path: address, mode: 0400}]}}
  - {name: data, persistentVolumeClaim: {claimName: web}}
  containers:
  - name: main
    image: localhost/box:1
    command: ["/program"]
    volumeMounts:
    - {name: settings, mountPath: /settings}
    - {name: address, mountPath: /address}
    - {name: data, mountPath: /data}
YAML
sed 's/path: address/path: folder\/address/; s/name: shop/name: second/' root/shop.yaml > root/second.yaml
cat > try.py <<'PY'
import json, os, pathlib, subprocess

volume = pathlib.Path("root/var/lib/containers/storage/volumes/web/_data")


def podman(*arguments, status=0, **more):
    done = subprocess.run(["chroot", "root", "/usr/bin/podman", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "PODMAN_IGNORE_CGROUPSV1_WARNING": "1", "HOME": "/root"}, **more)
    assert done.returncode == status, done
    return done.stdout + done.stderr


archive = subprocess.Popen(["tar", "-C", "image", "-c", "."], stdout=subprocess.PIPE)
podman("import", "-", "localhost/box:1", stdin=archive.stdout)
podman("kube", "play", "--start=false", "/shop.yaml")
mounts = {mount["Destination"]: mount["Name"] for mount in json.loads(podman("inspect", "--format", "{{json .Mounts}}", "shop-main"))}
files = {path.name: oct(path.stat().st_mode & 0o777) for path in volume.iterdir()}
print("mounts and their volumes:", mounts, "files and modes:", files)
assert mounts == {"/settings": "web", "/address": "web", "/data": "web"}, "podman behaves differently now"
assert files == {"address": "0o644", "mode": "0o644", "url": "0o644"}, "podman behaves differently now"
# What the program would do: it keeps something in its claim.
volume.joinpath("url").write_text("what the program keeps")
print(podman("kube", "down", "/shop.yaml"))
kept = volume.joinpath("url").read_text()
podman("kube", "play", "--start=false", "/shop.yaml")
print("/data/url before and after the next play:", repr(kept), repr(volume.joinpath("url").read_text()))
assert (kept, volume.joinpath("url").read_text()) == ("what the program keeps", "https://a.example"), "podman behaves differently now"
error = podman("kube", "play", "--start=false", "/second.yaml", status=125)
print(error)
assert 'cannot create file "folder/address"' in error, "podman behaves differently now"
PY
unshare --mount --pid --net --fork --kill-child --propagation private bash -euc '
    mount --bind root root
    mount -t proc proc root/proc
    mount --bind /dev/null root/dev/null
    mount --bind /dev/urandom root/dev/urandom
    exec python3 try.py'
