#!/bin/bash
# msal raises its JSON parser's error where a metadata server refuses in plain text.
#
# Versions: msal 1.39.0 (PyPI).
# Expected: a 403 with a text is a refusal that msal reports like any other: a dictionary with "error".
# Seen:     with a JSON body it is; with a plain one acquire_token_for_client raises JSONDecodeError, and both the status
#           and the server's explanation are lost.
# So what:  every error below /metadata/identity is JSON, also those of a server that does not serve Azure.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check msal==1.39.0 requests==2.32.5
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" - <<'PY'
import http.server, os, threading

answer = ("", b"")


class Metadata(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(403)
        self.send_header("Content-Type", answer[0])
        self.send_header("Content-Length", str(len(answer[1])))
        self.end_headers()
        self.wfile.write(answer[1])

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = f"http://127.0.0.1:{server.server_port}"
import msal, requests

seen = {}
for name, answer in {
    "JSON": ("application/json", b'{"error":"invalid_request","error_description":"this cluster is not set up for Azure"}'),
    "text": ("text/plain", b"this cluster is not set up for Azure\n"),
}.items():
    client = msal.ManagedIdentityClient(msal.SystemAssignedManagedIdentity(), http_client=requests.Session())
    try:
        seen[name] = sorted(client.acquire_token_for_client(resource="https://storage.azure.com"))
    except Exception as error:
        seen[name] = type(error).__name__
    print(f"403 with {name}: {seen[name]}")
assert "error" in seen["JSON"] and seen["text"] == "JSONDecodeError", "msal behaves differently now"
PY
