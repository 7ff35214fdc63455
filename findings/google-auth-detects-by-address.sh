#!/bin/bash
# google-auth finds the metadata server by its address, and then asks it by a name that nothing resolves.
#
# Versions: google-auth 2.63.0, requests 2.34.2 (PyPI).
# Expected: where 169.254.169.254 answers as a metadata server and no name resolves, google.auth.default() either says that it
#           has no credentials or returns some that work.
# Seen:     default() pings the address, succeeds, and returns Compute Engine credentials; their refresh() asks
#           metadata.google.internal and raises RefreshError, after half a minute of further tries. With GCE_METADATA_HOST set
#           to the address it works.
# So what:  detection proves nothing about the name: a pod without name resolution fails at its first request, not at its start.
# The address is made in a private network namespace: run as root.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check google-auth==2.63.0 requests==2.34.2
cat > "$folder/ask.py" <<'PY'
import http.server, sys, threading


class Metadata(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        kind, body = "text/plain", b"computeMetadata/\n"
        if "recursive" in self.path:
            kind, body = "application/json", b'{"aliases":["default"],"email":"a@b.example","scopes":[]}'
        elif "token" in self.path:
            kind, body = "application/json", b'{"access_token":"token","expires_in":3599,"token_type":"Bearer"}'
        elif self.path.endswith("project-id"):
            body = b"lab-project"
        elif "universe" in self.path:
            body = b"googleapis.com"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("169.254.169.254", 80), Metadata)
threading.Thread(target=server.serve_forever, daemon=True).start()
import google.auth, google.auth.transport.requests

credentials, _ = google.auth.default()
print("default:", type(credentials).__module__)
try:
    credentials.refresh(google.auth.transport.requests.Request())
    print("refresh:", credentials.token)
except Exception as error:
    print("refresh:", type(error).__name__)
PY
ask() {
    env -i PATH="$PATH" HOME="$folder" GCE_METADATA_TIMEOUT=1 "$@" unshare --net bash -c \
        'ip link set lo up; ip addr add 169.254.169.254/32 dev lo; exec "$0" "$1" 2> /dev/null' \
        "$folder/venv/bin/python" "$folder/ask.py"
}
plain=$(ask)
host=$(ask GCE_METADATA_HOST=169.254.169.254)
printf '%s\n' "without a variable:" "$plain" "with GCE_METADATA_HOST:" "$host"
detected='default: google.auth.compute_engine.credentials'
[ "$plain" = "$detected"$'\nrefresh: RefreshError' ]
[ "$host" = "$detected"$'\nrefresh: token' ]
