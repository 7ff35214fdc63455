#!/bin/bash
# conntrack's own form for saving connections leaves out the mark, and loading it takes the mark away.
#
# Versions: conntrack 1:1.4.7-1+b2, libnetfilter-conntrack3 1.0.9-3 (Debian 12). 1.4.8 of Debian 13 did the same when it was tried.
# Expected: `conntrack -L -o save` shows the table "in conntrack syntax format", and the manual's last example pipes it into
#           `conntrack --load-file -` to copy all entries of one zone to another. An entry's mark belongs to it, and the syntax has an
#           option for it (-m).
# Seen:     zone, state, status, addresses and ports are saved and come back; of mark=16 nothing is saved, and what comes back is mark=0,
#           without a word and with status 0. `-o xml` and the plain list have the mark; a saved line with "-m 16" added restores it.
# So what:  who tells pods' connections apart by connmark, and saves and loads them (a change of zone, a move to another node),
#           adds the marks from the list; a rule on the mark treats them as nobody's otherwise.
# Needs root: makes a network namespace.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download conntrack=1:1.4.7-1+b2 libnetfilter-conntrack3=1.0.9-3 libnetfilter-cttimeout1 \
    libnetfilter-cthelper0 libnetfilter-queue1 libnfnetlink0 libmnl0 nftables libnftables1 libnftnl11 libjansson4 libxtables12 libedit2 \
    libbsd0 libgmp10
for package in *.deb; do dpkg-deb -x "$package" packages; done
export LD_LIBRARY_PATH=$folder/packages/usr/lib/$(uname -m)-linux-gnu:$folder/packages/lib/$(uname -m)-linux-gnu
cat > try.py <<'PY'
import re, socket, subprocess

subprocess.run(["packages/usr/sbin/nft", "-f", "-"], text=True, check=True, input="""table inet t {
    chain zones { type filter hook output priority raw; ct zone set 7; }
    chain marks { type filter hook output priority filter; ct state new ct mark set 16; }
    }""")


def conntrack(*arguments, text=None):
    done = subprocess.run(["packages/usr/sbin/conntrack", *arguments], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done
    return done.stdout.strip()


def entry():
    """The connection's state, zone and mark, as the list shows them."""
    line, = conntrack("-L", "-p", "tcp").splitlines()
    return re.search(r"ESTABLISHED.*(\[ASSURED\])", line)[1], re.search(r"zone=\d+", line)[0], re.search(r"mark=\d+", line)[0]


print(conntrack("--version"))
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
    accepted, _ = server.accept()
    before, saved, xml = entry(), conntrack("-L", "-o", "save"), conntrack("-L", "-o", "xml")
    conntrack("-D", "-p", "tcp")
    conntrack("--load-file", "-", text=saved + "\n")
    after = entry()
    conntrack("-D", "-p", "tcp")
    conntrack("--load-file", "-", text=saved + " -m 16\n")
    marked = entry()
    accepted.close()
print("saved:", saved)
print("before:", *before, "| loaded:", *after, "| loaded with -m 16:", *marked)
assert before == marked == ("[ASSURED]", "zone=7", "mark=16") and "<mark>16</mark>" in xml
assert " -w 7 " in saved and not re.search(r" (-m|--mark)\b", saved), "conntrack behaves differently now"
assert after == ("[ASSURED]", "zone=7", "mark=0"), "conntrack behaves differently now"
PY
unshare --net bash -c 'ip link set lo up; exec python3 try.py'
