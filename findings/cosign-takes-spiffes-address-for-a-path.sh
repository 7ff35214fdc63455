#!/bin/bash
# cosign reads SPIFFE's address of the Workload API as a path, finds no such file, and waits for a person in a browser.
#
# Versions: cosign 2.5.0-2+b5 (Debian 13); spiffe 0.3.2, grpcio 1.85.3 (PyPI). cosign 3.1.1 of Debian's next release did the same when it
#           was tried.
# Expected: SPIFFE_ENDPOINT_SOCKET is a URI, "the scheme MUST be set to either unix or tcp", such as unix:///run/workload.sock (SPIFFE
#           Workload Endpoint, section 4). A signer that finds a Workload API there asks it for a JWT-SVID, or says why it does not.
# Seen:     with a URI of either scheme cosign does not call the Workload API, and says nothing of it. It begins the flow for devices, in
#           which a person signs in, also with --oidc-provider=spiffe. With the bare path it fetches the JWT-SVID and sends it to
#           Fulcio. SPIFFE's library for Python takes the URI, and refuses the path ("scheme must be set"). No value serves both.
# So what:  a pod that signs with cosign needs a Unix socket, and its bare path in the variable for that command alone. A job that hangs,
#           or ends with an error of an OpenID issuer, may have a Workload API that works. `cosign env` calls the value a socket path.
# Needs root: makes a network namespace, for cosign looks for sigstore's own services otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p lists/partial cache/archives/partial
# The mirror that this machine uses has the next release as well.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -1)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" > trixie.list
apt=(apt-get -qq -o APT::Sandbox::User=root -o Dir::Etc::SourceList="$folder/trixie.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::State::Lists="$folder/lists" -o Dir::Cache="$folder/cache" -o Acquire::Languages=none)
"${apt[@]}" update
"${apt[@]}" download cosign=2.5.0-2+b5
dpkg-deb -x cosign_*.deb packages
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check spiffe==0.3.2 grpcio==1.85.3
cat > try.py <<'PY'
import base64, concurrent.futures, http.server, json, os, pathlib, subprocess, threading, time
import grpc
from spiffe import WorkloadApiClient
from spiffe.errors import ArgumentError

ID = "spiffe://a.example/ns/shop/sa/web"
seen = []


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def field(number, data):
    """A field of protocol buffers with a length below 16,384."""
    return bytes([number << 3 | 2, len(data) & 127 | 128, len(data) >> 7]) + data


claims = {"sub": ID, "aud": ["sigstore"], "exp": int(time.time()) + 300}
token = ".".join([part({"alg": "ES256", "kid": "a", "typ": "JWT"}), part(claims), part("no signature")])


def fetch(request, context):
    seen.append("FetchJWTSVID")
    return field(1, field(1, ID.encode()) + field(2, token.encode()))


class Web(http.server.BaseHTTPRequestHandler):
    """Fulcio and the OpenID issuer: records what is asked, and refuses it."""

    def refuse(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        seen.append(self.path + (" with the JWT-SVID" if token in body + str(self.headers) else ""))
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = refuse

    def log_message(self, *words):
        pass


socket = os.path.abspath("workload.sock")
server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), handlers=[grpc.method_handlers_generic_handler(
    "SpiffeWorkloadAPI", {"FetchJWTSVID": grpc.unary_unary_rpc_method_handler(fetch)})])
server.add_insecure_port("unix:" + socket)
tcp = f"tcp://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
server.start()
web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
threading.Thread(target=web.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{web.server_port}"
pathlib.Path("artifact").write_text("x")


def cosign(value, *more):
    """What cosign asked of whom, and whether it began the flow for devices."""
    seen.clear()
    done = subprocess.run(
        ["packages/usr/bin/cosign", "sign-blob", "--yes", "--tlog-upload=false", "--fulcio-url", url, "--oidc-issuer", url + "/issuer",
         *more, "artifact"],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120,
        env={"HOME": os.getcwd(), "PATH": "/usr/bin:/bin", "SPIFFE_ENDPOINT_SOCKET": value})
    assert done.returncode == 1, done
    return [*seen, *(["device flow"] if "using device flow" in done.stderr else [])]


def python(value):
    """What SPIFFE's library for Python says of the value."""
    os.environ["SPIFFE_ENDPOINT_SOCKET"] = value
    try:
        WorkloadApiClient().close()
    except ArgumentError as error:
        return str(error)
    return "taken"


DEVICE = ["/issuer/.well-known/openid-configuration", "device flow"]
FETCHED = ["FetchJWTSVID", "/api/v1/signingCert with the JWT-SVID"]
for value, asked in (("unix://" + socket, DEVICE), (tcp, DEVICE), (socket, FETCHED)):
    result = cosign(value), cosign(value, "--oidc-provider=spiffe")
    print(value.replace(os.getcwd(), ""), *result, sep="\n    ")
    assert result == (asked, asked), "cosign behaves differently now"
by_python = python("unix://" + socket), python(socket)
print("SPIFFE's library for Python:", *by_python, sep="\n    ")
assert by_python[0] == "taken" and "scheme must be set" in by_python[1]
server.stop(None)
PY
unshare --net bash -c 'ip link set lo up; exec env -u http_proxy -u https_proxy -u HTTP_PROXY -u HTTPS_PROXY venv/bin/python try.py'
