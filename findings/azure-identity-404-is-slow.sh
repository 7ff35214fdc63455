#!/bin/bash
# Azure's client retries a 404 of the metadata server for long, and a 403 not at all.
#
# Versions: azure-identity 1.27.0 (PyPI).
# Expected: 404 means that there is no such endpoint or identity, and ends the attempt, as it does with the AWS and Google
#           clients; a 403 is no better and no worse.
# Seen:     403 is one request. 404 is six requests with pauses of 0, 1.6, 3.2, 6.4 and 12.8 s between them: a pod in a
#           cluster without Azure waits 24 s for "no identity".
# So what:  a metadata server that does not serve Azure answers 403 or 400 below /metadata/identity, never 404.
# The pauses are recorded and not slept here.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check azure-identity==1.27.0
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" - <<'PY'
import http.server, os, threading

status = 0
requests = 0


class Metadata(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global requests
        requests += 1
        body = b'{"error":"invalid_request","error_description":"Identity not found"}'
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = f"http://127.0.0.1:{server.server_port}"
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import ManagedIdentityCredential

pauses = []
RequestsTransport.sleep = lambda self, seconds: pauses.append(seconds)
seen = {}
for status in (400, 403, 404):
    requests = 0
    pauses.clear()
    try:
        ManagedIdentityCredential().get_token("https://storage.azure.com/.default")
        outcome = "a token"
    except Exception as error:
        outcome = type(error).__name__
    seen[status] = (requests, [round(pause, 1) for pause in pauses])
    print(f"{status}: {requests} requests, pauses of {seen[status][1]} s, then {outcome}")
assert seen[400] == (1, []) and seen[403] == (1, []), "azure-identity behaves differently now"
assert seen[404][0] == 6 and sum(seen[404][1]) >= 24, "azure-identity behaves differently now"
PY
