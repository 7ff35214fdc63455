#!/bin/bash
# object_store takes the numbers of Azure's metadata server as strings only, and needs the one that azure-identity ignores.
#
# Versions: obstore 0.12.1 (PyPI; object_store in Rust).
# Expected: `expires_in` and `expires_on` as JSON numbers are at least as good as decimal strings, and one of them is enough.
# Seen:     numbers fail to decode; without `expires_on` the token is refused. (azure-identity accepts both forms, never
#           reads `expires_on` and needs `expires_in`.)
# So what:  an emulator of the token endpoint sends both members, as strings.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check obstore==0.12.1
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" - <<'PY'
import http.server, json, threading, time

answer = {}
blob_requests = []


class Metadata(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if "oauth2" in self.path:
            body = json.dumps(answer).encode()
            self.send_response(200)
        else:
            blob_requests.append(self.headers.get("Authorization"))
            body = b""
            self.send_response(404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}"
from obstore.store import AzureStore

end = int(time.time()) + 3599
full = {"access_token": "opaque", "token_type": "Bearer", "expires_in": "3599", "expires_on": str(end),
        "resource": "https://storage.azure.com"}
cases = {
    "strings": full,
    "numbers": {**full, "expires_in": 3599, "expires_on": end},
    "no expires_on": {name: value for name, value in full.items() if name != "expires_on"},
    "no expires_in": {name: value for name, value in full.items() if name != "expires_in"},
}
seen = {}
for name, answer in cases.items():
    blob_requests.clear()
    store = AzureStore(
        "box", account_name="account", endpoint=base + "/account", msi_endpoint=base + "/metadata/identity/oauth2/token",
        client_options={"allow_http": True}, retry_config={"max_retries": 0})
    try:
        store.get("blob")
    except Exception:
        pass
    seen[name] = blob_requests == ["Bearer opaque"]
    print(f"{name:15} {'the token is used' if seen[name] else 'the token is refused'}")
assert seen["strings"] and not seen["numbers"] and not seen["no expires_on"], "object_store behaves differently now"
PY
