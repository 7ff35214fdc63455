#!/bin/bash
# gRPC C++ finds Google's metadata server only by the name with its final dot: no hosts entry that Kubernetes can write, and no
# variable, leads it there.
#
# Versions: libgrpc++1.51, libgrpc++-dev, libgrpc-dev, libgrpc29 1.51.1-3+b1 (Debian 12).
# Expected: grpc::GoogleDefaultCredentials() finds the server by GCE_METADATA_HOST, as Google's clients in other languages do, or
#           by an entry of /etc/hosts for metadata.google.internal.
# Seen:     it looks up "metadata.google.internal." and reads no variable. An entry without the dot is not found for that name;
#           one with the dot is, but the API server refuses a hostAliases entry that ends in a dot. It also sends the dot in
#           its Host header.
# So what:  only a name server serves such clients; a metadata server accepts both spellings in Host.
# Needs root: makes mount and network namespaces.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
grpc=1.51.1-3+b1
apt-get -qq -o APT::Sandbox::User=root download libgrpc++-dev=$grpc libgrpc-dev=$grpc libgrpc++1.51=$grpc libgrpc29=$grpc \
    libabsl20220623 libabsl-dev libc-ares2 libprotobuf-dev libprotobuf32 libre2-9
for package in *.deb; do dpkg-deb -x "$package" packages; done
library=$folder/packages/usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH=$library
cat > find.cc <<'CC'
#include <grpcpp/grpcpp.h>

#include <cstdio>

int main() {
    std::puts(grpc::GoogleDefaultCredentials() == nullptr ? "none" : "found");
}
CC
c++ -std=c++17 -isystem packages/usr/include -o find find.cc -L "$library" -Wl,-rpath-link,"$library" -lgrpc++ -lgrpc -lgpr
cat > serve.py <<'PY'
import http.server, subprocess, threading

hosts = []


class Metadata(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        hosts.append(self.headers["Host"])
        self.send_response(200)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.2", 80), Metadata)
threading.Thread(target=server.serve_forever, daemon=True).start()
answer = subprocess.run(["./find"], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
print(answer.strip(), *hosts)
PY
# $1: the names that /etc/hosts gives to the server.
look() {
    printf '127.0.0.1 localhost\n127.0.0.2 %s\n' "$1" > hosts
    env -i PATH="$PATH" HOME="$folder" LD_LIBRARY_PATH="$library" GCE_METADATA_HOST=127.0.0.2 \
        unshare --mount --net bash -c 'ip link set lo up; mount --bind hosts /etc/hosts; exec python3 serve.py'
}
plain=$(look "metadata metadata.google.internal")
dotted=$(look "metadata.google.internal.")
printf '%s\n' "entry without the dot, and GCE_METADATA_HOST: $plain" "entry with the dot: $dotted"
[ "$plain" = "none" ]
[ "$dotted" = "found metadata.google.internal." ]
