#!/bin/bash
# nft's JSON loses the level of a cgroup match, and nft does not take back what it printed.
#
# Versions: nftables 1.0.6-2+deb12u2, libnftables1 1.0.6-2+deb12u2 (Debian 12).
# Expected: `nft -j list ruleset` is the same rule set as `nft list ruleset`, in a form that `nft -j -f` loads: libnftables-json(5)
#           calls the elements of input and output basically identical.
# Seen:     1. `socket cgroupv2 level 2 "a/b"` becomes {"socket": {"key": "cgroupv2"}}: levels 1 and 2 are the same JSON, though they
#              match different things. Loading it says "Invalid socket key value", and nothing of the file is loaded.
#           2. without that rule the file loads, and what comes out has silently lost the set's flag `dynamic` and its
#              `auto-merge`, and the chain's comment.
#           The text form has all of it, and loads.
# So what:  a node's rules by cgroup are read and saved as text; a tool that goes through JSON cannot tell pods of one slice apart.
# Needs root: makes namespaces and, for a moment, two empty cgroups.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11 libmnl0 libjansson4 \
    libxtables12 libedit2 libbsd0 libgmp10
for package in *.deb; do dpkg-deb -x "$package" packages; done
export LD_LIBRARY_PATH=$folder/packages/usr/lib/$(uname -m)-linux-gnu:$folder/packages/lib/$(uname -m)-linux-gnu
cat > try.py <<'PY'
import json, subprocess, sys

name = sys.argv[1]
NFT = "packages/usr/sbin/nft"


def nft(*arguments, text=None):
    done = subprocess.run([NFT, *arguments], input=text, capture_output=True, text=True)
    return done.returncode, done.stdout or done.stderr.strip()


def rules(*lines):
    return """table inet t {
    set s { type ipv4_addr; flags dynamic, timeout; timeout 1m; }
    set r { type ipv4_addr; flags interval; auto-merge; }
    chain c { type filter hook output priority 0; comment "pods"; %s; }
    }""" % "; ".join(lines)


def reload(text):
    """The text's rule set as nft lists it, its JSON, and the list after that JSON was loaded into an empty kernel."""
    nft("flush", "ruleset")
    loaded = nft("-f", "-", text=text)
    assert loaded[0] == 0, loaded
    before, form = nft("list", "ruleset")[1], nft("-j", "list", "ruleset")[1]
    nft("flush", "ruleset")
    assert nft("-f", "-", text=before)[0] == 0 and nft("list", "ruleset")[1] == before, "the text form loads"
    nft("flush", "ruleset")
    status, error = nft("-j", "-f", "-", text=form)
    return before, form, status, error.splitlines()[0] if status else "", nft("list", "ruleset")[1]


one, two = f'socket cgroupv2 level 1 "{name}" accept', f'socket cgroupv2 level 2 "{name}/inner" accept'
before, form, status, error, after = reload(rules(one, two))
matches = [item["rule"]["expr"][0]["match"] for item in json.loads(form)["nftables"] if "rule" in item]
print("matches:", *(json.dumps(match["left"]) for match in matches))
print(f"loading it: status {status}, {error!r}; rules afterwards: {after!r}")
assert "level 1" in before and "level 2" in before and "level" not in form
assert [match["left"] for match in matches] == [{"socket": {"key": "cgroupv2"}}] * 2
assert status == 1 and "Invalid socket key value" in error and after == ""
before, form, status, error, after = reload(rules("accept"))
lost = [line.strip() for line in before.splitlines() if line not in after.splitlines()]
print("without these rules: status", status, "lost:", lost)
assert (status, lost) == (0, ["flags dynamic,timeout", "auto-merge", 'comment "pods"'])
assert json.loads(form)["nftables"][2]["set"]["flags"] == ["timeout"]
PY
# nft looks for the group below /sys/fs/cgroup, wherever cgroup version 2 is mounted.
unshare --net --mount --propagation private bash -euo pipefail -c '
    mount -t cgroup2 none /sys/fs/cgroup
    trap "rmdir /sys/fs/cgroup/$1/inner /sys/fs/cgroup/$1" EXIT
    mkdir -p "/sys/fs/cgroup/$1/inner"
    python3 try.py "$1"' - "finding-$$"
