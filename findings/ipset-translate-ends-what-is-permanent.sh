#!/bin/bash
# ipset-translate makes permanent entries temporary, forgets a set's mask, and takes an ICMP type for a port.
#
# Versions: ipset 7.17-1, libipset13 7.17-1, iptables 1.8.9-2, libxtables12 1.8.9-2, nftables 1.0.6-2+deb12u2, libnftables1
#           1.0.6-2+deb12u2 (Debian 12). ipset 7.24 with nftables 1.1.7 did the same when they were tried.
# Expected: the sets that nft loads hold what those of `ipset save` hold. Options that nftables lacks "may be not supported"
#           (ipset-translate(8)), which a comment tells, as with skbinfo. "Zero timeout value means the entry is added permanent to the
#           set"; a bitmask makes one entry of all addresses that are equal below it; icmp:8/0 is a type and a code (ipset(8)).
# Seen:     1. `timeout 0` becomes `timeout 0s`, which nft reads as none given, and so as the set's own. What ipset keeps is gone from
#              nft's set after that time.
#           2. `bitmask 255.255.0.255` is left out: 127.0.9.1 is in ipset's set that has 127.0.0.1, and not in nft's.
#           3. `127.0.0.1,icmp:8/0` becomes `127.0.0.1 . icmp . 2048`, a port. A ping is in ipset's set, and in nft's it is not, where
#              `th dport` is looked up.
#           No comment says so, the status is 0, and nft loads it all.
# So what:  addresses that a node always allows or always bars fall out of the translated set while it is in use. Write such entries into
#           a set of their own, without a timeout, and compare by packets and not by the number of entries.
# Needs root: makes network namespaces.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download ipset=7.17-1 libipset13=7.17-1 iptables=1.8.9-2 libxtables12=1.8.9-2 libip4tc2 libip6tc2 \
    nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11 libmnl0 libjansson4 libedit2 libbsd0 libgmp10 libnetfilter-conntrack3 \
    libnfnetlink0
for package in *.deb; do dpkg-deb -x "$package" packages; done
libraries=usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH=$folder/packages/$libraries:$folder/packages/lib/$(uname -m)-linux-gnu
export XTABLES_LIBDIR=$folder/packages/$libraries/xtables
cat > try.py <<'PY'
import socket, struct, subprocess, time

SETS = """create kept hash:ip family inet timeout 2
add kept 127.0.0.1 timeout 0
create masked hash:ip family inet bitmask 255.255.0.255
add masked 127.0.0.1
create pinged hash:ip,port family inet
add pinged 127.0.0.1,icmp:8/0
"""


def run(*command, text=None, status=0):
    done = subprocess.run(["packages/" + command[0], *command[1:]], input=text, capture_output=True, text=True)
    assert status is None or done.returncode == status, done
    return done.returncode, done.stdout + done.stderr


def ping():
    """Sends an ICMP echo request, type 8 and code 0, to this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.sendto(struct.pack(">BBHHH", 8, 0, 0xf7fe - 1, 1, 1), ("127.0.0.1", 0))


run("usr/sbin/ipset", "restore", text=SETS)
saved = run("usr/sbin/ipset", "save")[1]
translated = run("usr/sbin/ipset-translate", "restore", text=saved)[1]
print(saved, translated, sep="\n")
run("usr/sbin/nft", "-f", "-", text=translated + """table inet global {
    chain output { type filter hook output priority 0; ip daddr . meta l4proto . th dport @pinged counter; }
    }""")
run("usr/sbin/iptables-nft", "-A", "OUTPUT", "-m", "set", "--match-set", "pinged", "dst,dst", "-j", "ACCEPT")
ping()
by_nft = run("usr/sbin/nft", "list", "chain", "inet", "global", "output")[1]
by_ipset = run("usr/sbin/iptables-nft", "-vnL", "OUTPUT")[1]
print(by_nft, by_ipset, sep="\n")
assert "counter packets 0 " in by_nft and by_ipset.splitlines()[2].split()[0] == "1", "a ping matches otherwise now"
inside = (run("usr/sbin/ipset", "test", "masked", "127.0.9.1")[0],
          run("usr/sbin/nft", "get element inet global masked { 127.0.9.1 }", status=None)[0])
print("127.0.9.1 in the masked set of ipset and nft (0 is yes):", inside)
assert inside == (0, 1), "the mask is kept now"
for _ in range(300):
    listed = run("usr/sbin/nft", "list", "set", "inet", "global", "kept")[1]
    if "127.0.0.1" not in listed:
        break
    time.sleep(0.1)
print(listed, run("usr/sbin/ipset", "save", "kept")[1], sep="\n")
assert "127.0.0.1" not in listed and "add kept 127.0.0.1 timeout 0" in run("usr/sbin/ipset", "save", "kept")[1], "the entry is kept now"
PY
unshare --net bash -c 'ip link set lo up; exec python3 try.py'
