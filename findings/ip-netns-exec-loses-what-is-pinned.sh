#!/bin/bash
# What bpftool pins below `ip netns exec` is gone when it ends, and no cgroup has a path there: it puts a bare /sys over every mount.
#
# Versions: iproute2 6.1.0-3, bpftool 7.1.0+6.1.176-1, nftables 1.0.6-2+deb12u2, libnftables1 1.0.6-2+deb12u2 (Debian 12).
#           iproute2 7.3.0 with bpftool 7.8.0 and nftables 1.1.7 did the same when they were tried.
# Expected: `ip netns exec` runs a program in another network namespace, and in a mount namespace in which files of /etc/netns are those of
#           /etc. ip-netns(8) names no other difference. `bpftool map create FILE` makes a map and pins it as FILE (bpftool-map(8)).
# Seen:     /sys is unmounted with all that is mounted below it, and is sysfs alone. /sys/fs/bpf and /sys/fs/cgroup are empty.
#           1. bpftool finds no BPF file system at /sys/fs/bpf, mounts one that nobody else sees, pins the map in it, and ends with status
#              0. With the program that `ip netns exec` ran, mount and map are gone.
#           2. ss shows sockets as `cgroup:unreachable:NUMBER`, with status 0.
#           3. nft refuses `socket cgroupv2` with the path of a cgroup that exists.
#           `nsenter --net=/run/netns/NAME` changes the network namespace and nothing else, and has none of this.
# So what:  tools that pin programs or name cgroups enter a network namespace by nsenter, also in a test or by hand.
# Needs root: makes network and mount namespaces and, for a moment, a cgroup.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download iproute2=6.1.0-3 bpftool=7.1.0+6.1.176-1 nftables=1.0.6-2+deb12u2 \
    libnftables1=1.0.6-2+deb12u2 libnftnl11 libmnl0 libjansson4 libxtables12 libedit2 libbsd0 libgmp10 libbpf1 libelf1 libcap2
for package in *.deb; do dpkg-deb -x "$package" packages; done
export LD_LIBRARY_PATH=$folder/packages/usr/lib/$(uname -m)-linux-gnu:$folder/packages/lib/$(uname -m)-linux-gnu
export PATH=$folder/packages/usr/sbin:$folder/packages/sbin:$folder/packages/bin:$PATH
cat > server.py <<'PY'
import pathlib, signal, socket, sys

pathlib.Path(f"/sys/fs/cgroup/{sys.argv[1]}/cgroup.procs").write_text("0")
with socket.create_server(("127.0.0.1", 0)):
    pathlib.Path("ready").touch()
    signal.pause()
PY
cat > try.sh <<'TRY'
set -euo pipefail
group=$1
mount -t tmpfs none /run
mkdir /run/netns
umount --recursive /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mount -t bpf none /sys/fs/bpf
mkdir "/sys/fs/cgroup/$group"
trap 'rmdir "/sys/fs/cgroup/$group"' EXIT
ip netns add pod
ip -n pod link set lo up
nsenter --net=/run/netns/pod python3 server.py "$group" > /dev/null &
server=$!
trap 'kill "$server"; wait "$server" || true; rmdir "/sys/fs/cgroup/$group"' EXIT
for _ in {1..100}; do if [ -e ready ]; then break; fi; sleep 0.1; done
echo "table inet t { chain c { type filter hook output priority 0; socket cgroupv2 level 1 \"$group\" accept; }; }" > rules
# What bpftool, ss and nft say in the pod's network namespace, which the given command enters.
look() {
    "$@" bpftool map create /sys/fs/bpf/map type array key 4 value 4 entries 1 name finding && status=$? || status=$?
    if [ -e /sys/fs/bpf/map ]; then left=there; else left=gone; fi
    rm -f /sys/fs/bpf/map
    echo "bpftool: status $status, the map is $left"
    sockets=$("$@" ss --no-header --listening --tcp --numeric --cgroup 2> errors)
    echo "ss: $(grep -o 'cgroup:[^ ]*' <<< "$sockets" | sed "s/$group/GROUP/; s/:[0-9a-f]*$/:NUMBER/")"
    if "$@" nft --check --file rules 2> errors; then echo "nft: loads"; else echo "nft: $(sed -n '1s/.*Error: //p' errors)"; fi
    echo "mounts: $("$@" awk '$2 ~ "^/sys(/fs/bpf|/fs/cgroup)?$" { print $3 }' /proc/self/mounts | sort -u | xargs)"
}
echo "== ip netns exec"
look ip netns exec pod
echo "== nsenter"
look nsenter --net=/run/netns/pod
TRY
# The mounts are this script's own; the hierarchy of cgroups is the machine's.
seen=$(unshare --mount --propagation private bash try.sh "finding-$$")
echo "$seen"
[ "$(grep -v '^mounts' <<< "$seen")" = "== ip netns exec
bpftool: status 0, the map is gone
ss: cgroup:unreachable:NUMBER
nft: cgroupv2 path fails: No such file or directory
== nsenter
bpftool: status 0, the map is there
ss: cgroup:/GROUP
nft: loads" ]
[ "$(grep '^mounts' <<< "$seen" | head -1)" = "mounts: sysfs" ]
