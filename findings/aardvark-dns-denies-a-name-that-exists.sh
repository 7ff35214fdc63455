#!/bin/bash
# aardvark-dns, Podman's name server, denies a name in capital letters, and in a later version each type that a name does not have.
#
# Versions: aardvark-dns 1.4.0-3 (Debian 12) and 1.14.0-3 (Debian 13).
# Expected: names are compared without regard to case (RFC 4343), and clients that mix it on purpose get the same answer. NXDOMAIN means
#           that a name has no records of any type (RFC 2308, section 5; RFC 8020); a name with an address and without the type that was
#           asked is NOERROR with no record.
# Seen:     for a container `web` with the address 10.89.0.5, version 1.4 answers A of web, and says NXDOMAIN for A of WEB and of Web.
#           Version 1.14 answers these, and says NXDOMAIN for TXT, SRV and HTTPS of web.dns.podman; 1.4 had NOERROR there. A cache that
#           keeps to RFC 8020 then denies the address too.
# So what:  containers on a Podman network write names in small letters with 1.4, and put no caching resolver in front of 1.14.
# Needs root: makes network and process namespaces.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p lists/partial cache/archives/partial network old new
apt-get -qq -o APT::Sandbox::User=root download aardvark-dns=1.4.0-3
dpkg-deb -x aardvark-dns_1.4.0-3_*.deb old
# The mirror that this machine uses has the next release as well.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -1)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" > trixie.list
apt=(apt-get -qq -o APT::Sandbox::User=root -o Dir::Etc::SourceList="$folder/trixie.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::State::Lists="$folder/lists" -o Dir::Cache="$folder/cache" -o Acquire::Languages=none)
"${apt[@]}" update
"${apt[@]}" download aardvark-dns=1.14.0-3
dpkg-deb -x aardvark-dns_1.14.0-3_*.deb new
printf '%s\n' 10.89.0.1 "$(printf '%064d' 1) 10.89.0.5  web" > network/shop
cat > ask.py <<'PY'
import json, os, socket, struct, subprocess, sys, time

TYPES = {"A": 1, "TXT": 16, "AAAA": 28, "SRV": 33, "HTTPS": 65}
CODES = {0: "NOERROR", 3: "NXDOMAIN"}


def ask(name, kind):
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0" + struct.pack(">2H", TYPES[kind], 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect(("10.89.0.1", 53))
        client.send(struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + question)
        answer = client.recv(4096)
    _, flags, _, records, _, _ = struct.unpack(">6H", answer[:12])
    return f"{CODES[flags & 15]}, {records} records"


subprocess.Popen([sys.argv[1], "--config", os.path.abspath("network"), "--port", "53", "run"], stderr=subprocess.DEVNULL)
for _ in range(600):
    try:
        ask("web", "A")
        break
    except ConnectionRefusedError:
        time.sleep(0.1)
asked = [("web", "A"), ("Web", "A"), ("WEB", "A"), *(("web.dns.podman", kind) for kind in TYPES)]
print(json.dumps({f"{name} {kind}": ask(name, kind) for name, kind in asked}))
PY
# The server goes into the background, and ends with the process namespace.
for version in old new; do
    "$version/usr/lib/podman/aardvark-dns" --version
    unshare --net --pid --fork --kill-child --mount-proc \
        bash -c 'ip link set lo up; ip address add 10.89.0.1/24 dev lo; python3 ask.py "$0"' \
        "$version/usr/lib/podman/aardvark-dns" | tee "$version.json"
done
python3 - <<'PY'
import json

FOUND, EMPTY, DENIED = "NOERROR, 1 records", "NOERROR, 0 records", "NXDOMAIN, 0 records"
old, new = json.load(open("old.json")), json.load(open("new.json"))
host = "web.dns.podman"
assert old == {"web A": FOUND, "Web A": DENIED, "WEB A": DENIED, f"{host} A": FOUND,
               **{f"{host} {kind}": EMPTY for kind in ("TXT", "AAAA", "SRV", "HTTPS")}}, "1.4 behaves differently now"
assert new == {"web A": FOUND, "Web A": FOUND, "WEB A": FOUND, f"{host} A": FOUND, f"{host} AAAA": EMPTY,
               **{f"{host} {kind}": DENIED for kind in ("TXT", "SRV", "HTTPS")}}, "1.14 behaves differently now"
PY
