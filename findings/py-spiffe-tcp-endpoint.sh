#!/bin/bash
# The SPIFFE library for Python accepts a TCP endpoint, and then looks for a file of that name.
#
# Versions: spiffe 0.3.2 (PyPI).
# Expected: SPIFFE_ENDPOINT_SOCKET=tcp://IP:PORT is one of the two forms of the SPIFFE Workload Endpoint standard
#           (section 4). A library either connects, as Go's, Java's and Rust's do, or refuses the scheme.
# Seen:     the library parses the TCP form (a host that is a name is refused, because the standard wants an IP address),
#           and then fails because there is no file with the name "tcp://IP:PORT".
# So what:  a workload API that is served over link-local TCP needs a Unix socket beside it for Python.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check spiffe==0.3.2
cd "$folder"
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" - <<'PY'
import logging, socket

logging.disable(logging.CRITICAL)
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
server.settimeout(0.2)
port = server.getsockname()[1]
from spiffe import WorkloadApiClient

seen = {}
for endpoint in (f"tcp://127.0.0.1:{port}", f"tcp://localhost:{port}"):
    try:
        with WorkloadApiClient(endpoint) as client:
            seen[endpoint] = "made"
    except Exception as error:
        seen[endpoint] = f"{type(error).__name__}: {error}"
    print(endpoint.replace(str(port), "PORT"), "->", seen[endpoint].replace(str(port), "PORT"))
try:
    server.accept()
    connected = True
except TimeoutError:
    connected = False
print("the library connected:", connected)
first = seen[f"tcp://127.0.0.1:{port}"]
assert not connected and "does not exist" in first, "spiffe behaves differently now"
assert "IP address" in seen[f"tcp://localhost:{port}"], "spiffe behaves differently now"
PY
