#!/bin/bash
# Certificate files that nobody asked google-auth to use end google.auth.default() in three releases.
#
# Versions: google-auth 2.45.0, 2.47.0, 2.49.0 (the fault), 2.43.0 and 2.50.0 (without it), requests 2.32.5 (PyPI).
# Expected: files below /run/google-mds-mtls are used for mTLS with the metadata server, or ignored.
# Seen:     2.45 to 2.49 find both files, decide for mTLS without being told to, and google.auth.default() raises
#           AttributeError, on a metadata server that works over plain HTTP. 2.50 ignores the files unless
#           GCE_METADATA_MTLS_MODE asks for them.
# So what:  such files may be mounted into pods that ask for them, never into all pods.
# The files are made in a private mount namespace: run as root.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=metadata -keyout "$folder/key.pem" -out "$folder/root.crt" 2> /dev/null
cat "$folder/key.pem" "$folder/root.crt" > "$folder/client.key"
cat > "$folder/ask.py" <<'PY'
import http.server, os, threading


class Metadata(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        kind = "text/plain"
        if "recursive" in self.path:
            kind, body = "application/json", b'{"aliases":["default"],"email":"a@b.example","scopes":[]}'
        elif self.path.endswith("project-id"):
            body = b"lab-project"
        elif "universe" in self.path:
            body = b"googleapis.com"
        else:
            body = b"computeMetadata/\n"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
threading.Thread(target=server.serve_forever, daemon=True).start()
for name in ("GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"):
    os.environ[name] = f"127.0.0.1:{server.server_port}"
import google.auth

try:
    credentials, project = google.auth.default()
    print(type(credentials).__name__)
except Exception as error:
    print(type(error).__name__)
PY
changed=0
for pair in 2.43.0:Credentials 2.45.0:AttributeError 2.47.0:AttributeError 2.49.0:AttributeError 2.50.0:Credentials; do
    version=${pair%%:*} expected=${pair##*:}
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "google-auth==$version" requests==2.32.5
    seen=$(unshare --mount --propagation private bash -c '
        mount -t tmpfs tmpfs /run && mkdir /run/google-mds-mtls && cp "$1/client.key" "$1/root.crt" /run/google-mds-mtls
        env -i PATH="$PATH" HOME="$1" "$1/$2/bin/python" "$1/ask.py" 2>/dev/null | tail -1' - "$folder" "$version")
    echo "google-auth $version with the two files: $seen"
    [ "$seen" = "$expected" ] || changed=1
done
[ $changed = 0 ] || { echo "google-auth behaves differently now" >&2; exit 1; }
