#!/bin/bash
# musl ends a pod's search list at the first name that exists without an address; glibc goes on.
#
# Versions: musl 1.2.3-1 (Debian 12: musl-dev), beside glibc 2.36.
# Expected: of the names that a search list makes, the first one with an address is taken (resolv.conf(5)); one that exists
#           without an address of the family asked for is passed over like one that does not exist.
# Seen:     a cluster's DNS answers NOERROR without records for NAMESPACE.svc.cluster.local of every namespace that exists. In a
#           cluster with a namespace `metadata` glibc resolves `metadata` to the server of that name; musl stops at
#           metadata.svc.cluster.local and says that the name has no usable address.
# So what:  a namespace's mere name breaks one-label names in Alpine's pods, and in theirs alone: clients use names with a final
#           dot or addresses.
# Needs root: makes mount and network namespaces.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download musl-dev=1.2.3-1
for package in *.deb; do dpkg-deb -x "$package" packages; done
cat > resolve.c <<'C'
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int main(void)
{
	struct addrinfo hints, *found;
	memset(&hints, 0, sizeof(hints));
	hints.ai_family = AF_INET;
	hints.ai_socktype = SOCK_STREAM;
	if (getaddrinfo("metadata", "80", &hints, &found) != 0) {
		printf("nothing\n");
		return 0;
	}
	printf("%s\n", inet_ntoa(((struct sockaddr_in *)found->ai_addr)->sin_addr));
}
C
headers=packages/usr/include/$(uname -m)-linux-musl
library=packages/usr/lib/$(uname -m)-linux-musl
cc -o by-glibc resolve.c
cc -static -no-pie -nostdinc -isystem "$headers" -nostdlib -o by-musl resolve.c \
    "$library"/{crt1.o,crti.o,libc.a} "$(cc -print-libgcc-file-name)" "$library/crtn.o"
cat > cluster.py <<'PY'
import socket, struct, subprocess, sys, threading

# The namespaces of the cluster; a name of the world outside.
namespaces, outside = sys.argv[1].split(), {"metadata": "192.0.2.9"}
asked = []


def serve(server):
    while True:
        query, peer = server.recvfrom(512)
        end, labels = 12, []
        while length := query[end]:
            labels.append(query[end + 1:end + 1 + length].decode())
            end += length + 1
        name, question = ".".join(labels), query[12:end + 5]
        asked.append(name)
        exists = name in outside or name in [f"{namespace}.svc.cluster.local" for namespace in namespaces]
        record = b"" if name not in outside else struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(outside[name])
        flags = 0x8180 | (0 if exists else 3)
        server.sendto(query[:2] + struct.pack(">HHHHH", flags, 1, bool(record), 0, 0) + question + record, peer)


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
threading.Thread(target=serve, args=(server,), daemon=True).start()
for program in ("./by-glibc", "./by-musl"):
    asked.clear()
    print(program, subprocess.run([program], check=True, capture_output=True, text=True).stdout.strip(), len(asked))
PY
printf 'search team-a.svc.cluster.local svc.cluster.local cluster.local\nnameserver 127.0.0.1\noptions ndots:5\n' > resolv.conf
echo '127.0.0.1 localhost' > hosts
echo 'hosts: files dns' > nsswitch.conf
look() {
    unshare --mount --net bash -c '
        ip link set lo up
        for file in resolv.conf hosts nsswitch.conf; do mount --bind "$file" "/etc/$file"; done
        exec python3 cluster.py "$1"' _ "$1"
}
without=$(look "default team-a")
with=$(look "default team-a metadata")
printf '%s\n' "without a namespace 'metadata' (resolver, address, questions):" "$without" "with it:" "$with"
[ "$without" = "./by-glibc 192.0.2.9 4"$'\n'"./by-musl 192.0.2.9 4" ]
[ "$with" = "./by-glibc 192.0.2.9 4"$'\n'"./by-musl nothing 2" ]
