#!/bin/bash
# google-auth's fetch_id_token returns the metadata server's identity where GOOGLE_APPLICATION_CREDENTIALS names another one.
#
# Versions: google-auth 2.63.0, requests 2.34.2 (PyPI).
# Expected: the file that the variable names is loaded: libraries must support the type external_account, and "if the credential is
#           unknown type, return an error saying that" (AIP-4110, step 2; the function's own description refers to it). The metadata
#           server is asked where there is no file.
# Seen:     google.auth.default() is the file's identity. fetch_id_token() reads the same file, passes over external_account without a
#           word, and returns a token of the metadata server's identity. It does the same with an unknown type, which default()
#           refuses. Without a metadata server it says that there are no credentials.
# So what:  users of workload identity federation have such a file. In one process access tokens are then the file's, and ID tokens are
#           the pod's (behind podidentd) or the machine's. A test on a desk does not show it. ID tokens of the file's identity are made
#           from google.auth.default() with google.auth.impersonated_credentials.
# Needs root: runs in a network namespace of its own, where no other metadata server can be found.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check google-auth==2.63.0 requests==2.34.2
cat > "$folder/ask.py" <<'PY'
import base64, http.server, json, os, pathlib, sys, threading, time

kind, metadata, folder = sys.argv[1:]
POOL = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/cluster"
ACCOUNT = {"aliases": ["default"], "email": "pod@lab.example", "scopes": []}
asked = []


def identity_token():
    now = int(time.time())
    claims = {"email": ACCOUNT["email"], "aud": "https://shop.example", "iat": now, "exp": now + 3600}
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256"}, claims)] + [b"signature"]
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)


class Server(http.server.BaseHTTPRequestHandler):
    def answer(self, body, content="application/json"):
        self.send_response(200)
        self.send_header("Content-Type", content)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        asked.append("token exchange")
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(b'{"access_token":"of the file","expires_in":3600,"token_type":"Bearer",'
                    b'"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}')

    def do_GET(self):
        asked.append("metadata server")
        if "/identity?" in self.path:
            self.answer(identity_token(), "text/html")
        else:
            self.answer(json.dumps(ACCOUNT).encode())

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
place = f"127.0.0.1:{server.server_port}"
os.environ["GCE_METADATA_HOST"] = os.environ["GCE_METADATA_IP"] = place if metadata == "yes" else "127.0.0.1:1"
pathlib.Path(folder, "token").write_text("header.claims.signature")
file = pathlib.Path(folder, "credentials.json")
file.write_text(json.dumps({
    "type": kind, "audience": POOL, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "token_url": f"http://{place}/token", "credential_source": {"file": f"{folder}/token"}}))
os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = str(file)

import google.auth, google.auth.exceptions, google.auth.jwt, google.auth.transport.requests, google.oauth2.id_token

request = google.auth.transport.requests.Request()


def access():
    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    credentials.refresh(request)
    return credentials.token


def identity():
    return google.auth.jwt.decode(google.oauth2.id_token.fetch_id_token(request, "https://shop.example"), verify=False)["email"]


for name, ask in (("default", access), ("fetch_id_token", identity)):
    asked.clear()
    try:
        print(f"{name}: {ask()}, by the {' and '.join(sorted(set(asked)))}")
    except google.auth.exceptions.DefaultCredentialsError as error:
        print(f"{name}: {type(error).__name__}")
PY
# $1: the file's type, $2: whether there is a metadata server.
ask() {
    echo "$1, a metadata server: $2"
    env -i PATH="$PATH" HOME="$folder" GOOGLE_CLOUD_PROJECT=lab GCE_METADATA_TIMEOUT=1 unshare --net bash -c \
        'ip link set lo up; exec "$0/venv/bin/python" -W ignore "$0/ask.py" "$@" "$0" 2> /dev/null' "$folder" "$@"
}
seen=$(ask external_account yes; ask unknown_account yes; ask external_account no)
echo "$seen"
[ "$seen" = "external_account, a metadata server: yes
default: of the file, by the token exchange
fetch_id_token: pod@lab.example, by the metadata server
unknown_account, a metadata server: yes
default: DefaultCredentialsError
fetch_id_token: pod@lab.example, by the metadata server
external_account, a metadata server: no
default: of the file, by the token exchange
fetch_id_token: DefaultCredentialsError" ] || { echo "the library behaves differently now" >&2; exit 1; }
