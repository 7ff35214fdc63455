#!/bin/bash
# MongoDB's driver asks Google's metadata server by the short name `metadata`, whatever GCE_METADATA_HOST says.
#
# Versions: pymongo 4.20.0 (PyPI).
# Expected: MONGODB-OIDC with ENVIRONMENT:gcp asks metadata.google.internal or the address, as Google's own clients do, and
#           honours GCE_METADATA_HOST.
# Seen:     it asks http://metadata/, which resolves on Google's machines by their search list alone; no variable changes that.
#           Where only the long name resolves, authentication fails.
# So what:  in a pod outside Google `metadata` must resolve too, by a search domain google.internal or by itself.
# The name is made in private mount and network namespaces: run as root.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pymongo==4.20.0
cat > "$folder/ask.py" <<'PY'
import http.server, os, threading

asked = []


class Metadata(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(f"{self.headers['Host']} {self.path.split('?', 1)[1]}")
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"token")

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.2", 80), Metadata)
threading.Thread(target=server.serve_forever, daemon=True).start()
from pymongo.auth_oidc_shared import OIDCCallbackContext, _OIDCGCPCallback

try:
    _OIDCGCPCallback(os.environ["RESOURCE"]).fetch(OIDCCallbackContext(5, "", 1))
except ValueError:
    pass
print(asked)
PY
# $1: the names that /etc/hosts gives to the server; the rest: variables.
ask() {
    echo "127.0.0.2 $1" > "$folder/hosts"
    shift
    env -i PATH="$PATH" HOME="$folder" "$@" unshare --mount --net bash -c \
        'ip link set lo up; mount --bind "$0/hosts" /etc/hosts; exec "$0/venv/bin/python" "$0/ask.py"' "$folder"
}
long=$(ask "metadata.google.internal" RESOURCE=audience GCE_METADATA_HOST=127.0.0.2)
short=$(ask "metadata.google.internal metadata" RESOURCE=audience GCE_METADATA_HOST=127.0.0.2)
printf '%s\n' "only the long name: $long" "both names: $short"
[ "$long" = "[]" ]
[ "$short" = "['metadata audience=audience']" ]
