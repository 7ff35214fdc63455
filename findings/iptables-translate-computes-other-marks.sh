#!/bin/bash
# iptables-translate gives connections and packets other marks than iptables: it forgets what a mask leaves alone, and a `!`.
#
# Versions: iptables 1.8.9-2, libxtables12 1.8.9-2, nftables 1.0.6-2+deb12u2, libnftables1 1.0.6-2+deb12u2 (Debian 12).
#           1.8.11 (Debian 13) and 1.8.13 translated all of these the same when they were tried.
# Expected: the translation of a rule does what the rule does; what has no translation comes as a comment, and xtables-translate(8) warns
#           of extensions that are not supported. --set-xmark value/mask zeroes the bits of the mask and XORs the value;
#           --save-mark is ctmark = (ctmark & ~ctmask) ^ (nfmark & nfmask), --restore-mark the same for the packet; --ctstate is a list of
#           states any of which matches, and it and multiport's --ports may be inverted (iptables-extensions(8)).
# Seen:     from connection mark 0x105 and packet mark 0x203:
#           1. CONNMARK --set-xmark 0x40/0xf0 XORs first and masks then, which takes the value away: 0x105 instead of 0x145.
#           2. CONNMARK --save-mark --mask 0xff and --restore-mark --mask 0xff clear the other bits: 0x3 and 0x5 instead of 0x103 and 0x205.
#           3. `! --ctstate DNAT` becomes `ct status dnat`, `! --ports` is the same as `--ports`: these match what they did not. Of
#              `--ctstate NEW,SNAT` NEW is lost.
#           Nothing of it comes as a comment, and nft loads it. MARK with a mask is right.
# So what:  programs share the 32 bits of a mark by masks (Calico's, Tailscale's, AWS's); a translated rule of one takes the others' bits.
#           Translated rules with CONNMARK, DNAT or SNAT states, or --ports, are written again by hand.
# Needs root: makes network namespaces.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download iptables=1.8.9-2 libxtables12=1.8.9-2 libip4tc2 libip6tc2 libnetfilter-conntrack3 \
    libnfnetlink0 nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11 libmnl0 libjansson4 libedit2 libbsd0 libgmp10
for package in *.deb; do dpkg-deb -x "$package" packages; done
export LD_LIBRARY_PATH=$folder/packages/usr/lib/$(uname -m)-linux-gnu
export XTABLES_LIBDIR=$LD_LIBRARY_PATH/xtables
cat > try.py <<'PY'
import re, socket, subprocess, sys

XTABLES, NFT = "packages/usr/sbin/xtables-nft-multi", "packages/usr/sbin/nft"
# The rule, the marks of connection and packet that iptables makes, and those that the translation makes.
CASES = [
    ("-j MARK --set-xmark 0x40/0xf0", "0x105 0x243", "0x105 0x243"),
    ("-j CONNMARK --set-mark 0x40", "0x40 0x203", "0x40 0x203"),
    ("-j CONNMARK --set-xmark 0x40/0xf0", "0x145 0x203", "0x105 0x203"),
    ("-j CONNMARK --save-mark --mask 0xff", "0x103 0x203", "0x3 0x203"),
    ("-j CONNMARK --restore-mark --mask 0xff", "0x105 0x205", "0x105 0x5"),
    ("-m conntrack ! --ctstate DNAT -j MARK --set-mark 1", "0x105 0x1", "0x105 0x203"),
    ("-m conntrack --ctstate NEW,SNAT -j MARK --set-mark 1", "0x105 0x1", "0x105 0x203"),
    ("-p udp -m multiport ! --ports 80,443 -j MARK --set-mark 1", "0x105 0x1", "0x105 0x203"),
]


def run(*arguments, text=None):
    return subprocess.run(arguments, input=text, capture_output=True, text=True, check=True).stdout


def marks(form, rule):
    """The marks that a new connection's first packet and the connection have after the rule."""
    run("ip", "link", "set", "lo", "up")
    # The marks before the rule, and, after the chain that it is in (priority -150), a note of them.
    run(NFT, "-f", "-", text="""table ip look {
        set seen { typeof ct mark . meta mark; flags dynamic; }
        chain before { type filter hook output priority -160; udp dport 5000 ct mark set 0x105 meta mark set 0x203; }
        chain after { type filter hook output priority 0; udp dport 5000 add @seen { ct mark . meta mark }; }
        }""")
    saved = f"*mangle\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT {rule}\nCOMMIT\n"
    if form == "iptables":
        run(XTABLES, "iptables-restore", text=saved)
    else:
        open(f"saved-{form}", "w").write(saved)
        run(NFT, "-f", "-", text=run(XTABLES, "iptables-restore-translate", "-f", f"saved-{form}"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        server.bind(("127.0.0.1", 5000))
        client.sendto(b"x", ("127.0.0.1", 5000))
    found = re.search(r"elements = { (\S+) \. (\S+) }", run(NFT, "list", "set", "ip", "look", "seen"))
    return " ".join(hex(int(mark, 16)) for mark in found.groups())


if len(sys.argv) > 1:
    print(marks(*sys.argv[1:]))
    raise SystemExit
print(run(XTABLES, "iptables", "--version").strip())
for rule, *expected in CASES:
    seen = [run("unshare", "--net", sys.executable, "try.py", form, rule).strip() for form in ("iptables", "nft")]
    print(f"{rule}: by iptables {seen[0]}, translated {seen[1]}")
    assert seen == expected, "iptables-translate behaves differently now"
PY
python3 try.py
