#!/bin/bash
# After one 503 of the metadata server TensorStore reads Google's storage as nobody, for as long as its process lives.
#
# Versions: tensorstore 0.1.86, google-auth 2.63.0, requests 2.34.2 (PyPI).
# Expected: 503 is temporary (RFC 9110, section 15.6.4): the client asks again, as google-auth does, or fails, and asks again at its next
#           use. The metadata server is where GCE_METADATA_HOST says, as for Google's clients for Python, Go, Java and Rust.
# Seen:     TensorStore asks once, at its first use. A 503 (a 403 and a 404 the same) is taken for "not on Google Cloud": that read and all
#           later ones, also of another store, go out without an Authorization header, though the metadata server is well from its second
#           request on. It reads GCE_METADATA_ROOT, and not GCE_METADATA_HOST: with the latter alone it asks nothing at that address.
# So what:  a metadata server that is not ready for a pod that has just started lets the connection wait rather than answer 503; the
#           process has to be started again, and both variables set.
# Needs root: runs in a network namespace of its own, where no other metadata server can be found.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorstore==0.1.86 google-auth==2.63.0 requests==2.34.2
cat > "$folder/ask.py" <<'PY'
import http.server, json, os, sys, threading

variable, refusals, status = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
asked, read = [], []
ACCOUNT = {"email": "shop@example.com", "aliases": ["default"], "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}
TOKEN = {"access_token": "example", "expires_in": 3600, "token_type": "Bearer"}


class Server(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Metadata(Server):
    def do_GET(self):
        asked.append(self.path)
        if len(asked) <= refusals:
            self.answer(status, b"the pod is not known on this node yet")
        else:
            self.answer(200, json.dumps(TOKEN if "/token" in self.path else ACCOUNT).encode())


class Storage(Server):
    def do_GET(self):
        read.append(self.headers["Authorization"])
        self.answer(404, b"{}")


def start(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_port}"


os.environ[variable] = start(Metadata)
os.environ["TENSORSTORE_GCS_HTTP_URL"] = f"http://{start(Storage)}"
if sys.argv[4] == "tensorstore":
    import tensorstore

    for bucket in ("box", "box", "other"):
        tensorstore.KvStore.open({"driver": "gcs", "bucket": bucket}).result(60).read("key").result(60)
else:
    import google.auth.compute_engine, google.auth.transport.requests

    credentials = google.auth.compute_engine.Credentials()
    credentials.refresh(google.auth.transport.requests.Request())
    read.append(f"Bearer {credentials.token}")
print(json.dumps([len(asked), read]))
PY
# $1: the variable, $2: how many requests are refused first, $3: with what, $4: the client.
ask() {
    env -i PATH="$PATH" HOME="$folder" NO_GCE_CHECK=true unshare --net bash -c \
        'ip link set lo up; exec "$0/venv/bin/python" "$0/ask.py" "$@"' "$folder" "$@" 2> /dev/null
}
# $1: what is expected, the rest: as above.
expect() {
    seen=$(ask "${@:2}")
    echo "${*:2}: $seen"
    [ "$seen" = "$1" ] || { echo "the client behaves differently now" >&2; exit 1; }
}
own='"Bearer example"'
echo "variable, refusals, status, client: [requests to the metadata server, Authorization of each read]"
expect "[2, [$own, $own, $own]]" GCE_METADATA_ROOT 0 503 tensorstore
expect "[1, [null, null, null]]" GCE_METADATA_ROOT 1 503 tensorstore
expect "[1, [null, null, null]]" GCE_METADATA_ROOT 1 403 tensorstore
expect "[1, [null, null, null]]" GCE_METADATA_ROOT 1 404 tensorstore
expect "[0, [null, null, null]]" GCE_METADATA_HOST 0 503 tensorstore
expect "[3, [$own]]" GCE_METADATA_HOST 1 503 google-auth
