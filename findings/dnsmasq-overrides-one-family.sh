#!/bin/bash
# dnsmasq's address= and host-record= override a name for one address family, and ask upstream for the other.
#
# Versions: dnsmasq-base 2.90-4~deb12u2 (Debian 12).
# Expected: a name that is given an address here is this server's own: its other record types are empty, as unbound's
#           local-data has them and as /etc/hosts has them for a resolver that reads it.
# Seen:     with `address=/a.example/192.0.2.9` or `host-record=a.example,192.0.2.9` the question for A is answered here, and the
#           one for AAAA goes upstream, whose 2001:db8::1 comes back: a client that prefers IPv6 never sees the override. Only
#           with `local=/a.example/` beside it is AAAA empty.
# So what:  an override of a name with dnsmasq is two lines.
# Needs root: makes a network namespace.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download dnsmasq-base=2.90-4~deb12u2 libdbus-1-3 libgmp10 libhogweed6 \
    libidn2-0 libjansson4 libmnl0 libnetfilter-conntrack3 libnettle8 libnfnetlink0 libnftables1 libnftnl11 libxtables12
for package in *.deb; do dpkg-deb -x "$package" packages; done
export LD_LIBRARY_PATH=$folder/packages/usr/lib/$(uname -m)-linux-gnu
cat > ask.py <<'PY'
import socket, struct, subprocess, sys

A, AAAA = 1, 28
OPTIONS = [
    "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces", "--listen-address=127.0.0.1",
    "--user=root", "--pid-file=",
]


def start(port, *options):
    process = subprocess.Popen(
        [sys.argv[1], *OPTIONS, f"--port={port}", *options], stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "started, version" in line:
            return process
    raise SystemExit("dnsmasq does not start")


def ask(port, kind):
    """How many records the answer holds."""
    question = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\1a\7example\0" + struct.pack(">HH", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.sendto(question, ("127.0.0.1", port))
        return struct.unpack(">HHHH", asking.recv(512)[:8])[3]


running = [start(5300, "--host-record=a.example,192.0.2.1,2001:db8::1")]
try:
    for port, options in enumerate([
        ["--address=/a.example/192.0.2.9"], ["--host-record=a.example,192.0.2.9"],
        ["--host-record=a.example,192.0.2.9", "--local=/a.example/"],
    ], 5301):
        running.append(start(port, "--server=127.0.0.1#5300", *options))
        print(*options, f"A={ask(port, A)} AAAA={ask(port, AAAA)}")
finally:
    for process in running:
        process.kill()
PY
seen=$(unshare --net bash -c 'ip link set lo up; exec python3 ask.py packages/usr/sbin/dnsmasq')
echo "$seen"
[ "$seen" = "--address=/a.example/192.0.2.9 A=1 AAAA=1
--host-record=a.example,192.0.2.9 A=1 AAAA=1
--host-record=a.example,192.0.2.9 --local=/a.example/ A=1 AAAA=0" ]
