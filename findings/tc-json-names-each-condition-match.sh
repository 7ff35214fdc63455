#!/bin/bash
# tc's JSON gives all conditions of a u32 filter one name, so that readers see the last; its pretty text leaves IPv6 ones out.
#
# Versions: iproute2 6.1.0-3, libbpf1 1.1.2-0+deb12u1, jq 1.6-2.1 (Debian 12). 6.15.0 of Debian 13 and 7.3.0 did the same when they
#           were tried.
# Expected: the filter `match ip dst 10.0.0.0/8 match ip dport 80 0xffff` is for packets that fulfil both, and `tc -j filter show` shows
#           both. "The names within an object SHOULD be unique", for many programs "report the last name/value pair only" (RFC 8259,
#           section 4). -p decodes "offset and mask values to equivalent filter commands" (tc(8)).
# Seen:     1. the object has "match" twice. jq and Python keep the port, at any destination. Of an address of IPv6, which is four
#              conditions, they keep the last 32 bits.
#           2. with -p the text shows no condition of an IPv6 filter: it looks like a filter for everything. Without -p it has all of
#              them, as hexadecimal numbers.
#           3. the JSON of a tbf queue leaves out its peak rate, which the text has.
# So what:  what filters a node's interfaces have is read from the plain text, or from netlink; a program that compares or restores
#           filters by tc's JSON widens them.
# Needs root: makes a network namespace.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download iproute2=6.1.0-3 libbpf1 libmnl0 libelf1 libcap2 libbsd0 libxtables12 jq libjq1 libonig5
for package in *.deb; do dpkg-deb -x "$package" packages; done
export LD_LIBRARY_PATH=$folder/packages/usr/lib/$(uname -m)-linux-gnu:$folder/packages/lib/$(uname -m)-linux-gnu
cat > try.py <<'PY'
import json, subprocess


def run(*command, text=None):
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout.strip()


def tc(*words):
    return run("packages/sbin/tc", *(part for word in words for part in word.split()))


run("packages/bin/ip", "link", "add", "one", "type", "veth", "peer", "name", "two")
tc("qdisc add dev one root handle 1: htb")
tc("filter add dev one parent 1: protocol ip prio 1 u32 match ip dst 10.0.0.0/8 match ip dport 80 0xffff flowid 1:1")
tc("filter add dev one parent 1: protocol ipv6 prio 2 u32 match ip6 dst 2001:db8:1:2:3:4:5:6/128 flowid 1:2")
plain, pretty, form = tc("filter show dev one"), tc("-p filter show dev one"), tc("-j filter show dev one")
print(plain, pretty, form, sep="\n\n")
conditions = [line.split()[1] for line in plain.splitlines() if line.startswith("  match")]
assert conditions == ["0a000000/ff000000", "00000050/0000ffff", "20010db8/ffffffff", "00010002/ffffffff", "00030004/ffffffff",
                      "00050006/ffffffff"]
by_python = [item["options"]["match"]["value"] for item in json.loads(form) if "match" in item.get("options", {})]
by_jq = json.loads(run("packages/usr/bin/jq", "-c", "[.[].options.match.value | select(. != null)]", text=form))
print("of", form.count('"match"'), "conditions Python keeps", by_python, "and jq", by_jq)
assert form.count('"match"') == 6 and by_python == by_jq == ["50", "50006"], "tc behaves differently now"
of_ipv6 = pretty[pretty.index("protocol ipv6"):]
assert "IP dst 10.0.0.0/8" in pretty and "match" not in of_ipv6 and "2001" not in of_ipv6, "tc behaves differently now"
tc("qdisc del dev one root")
tc("qdisc add dev one root tbf rate 1mbit burst 10k limit 20k peakrate 2mbit mtu 1500")
plain, form = tc("qdisc show dev one"), tc("-j qdisc show dev one")
print(plain, form, sep="\n")
options = json.loads(form)[0]["options"]
assert "peakrate 2Mbit" in plain and options["rate"] == 125000 and not any("peak" in name or value == 250000 for name, value in
                                                                            options.items()), "tc behaves differently now"
PY
unshare --net python3 try.py
