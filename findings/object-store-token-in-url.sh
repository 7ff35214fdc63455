#!/bin/bash
# object_store puts the web identity token into the URL of its request to AWS STS.
#
# Versions: obstore 0.12.1 (PyPI; object_store in Rust).
# Expected: AssumeRoleWithWebIdentity is a POST whose parameters, the token among them, are in the form body, as the AWS
#           SDKs send it.
# Seen:     all parameters are in the query string of a POST without a body, so that the pod's JWT is written into the
#           access log of every proxy on the way.
# So what:  an emulator of STS accepts both forms, and never logs a request target; a pod-bound JWT has to be short-lived.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check obstore==0.12.1
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 \
    -keyout "$folder/key.pem" -out "$folder/certificate.pem" 2> /dev/null
echo -n 'header.claims.signature' > "$folder/token"
env -i PATH="$PATH" HOME="$folder" FOLDER="$folder" AWS_WEB_IDENTITY_TOKEN_FILE="$folder/token" \
    AWS_ROLE_ARN=arn:aws:iam::111122223333:role/example "$folder/venv/bin/python" - <<'PY'
import http.server, os, ssl, threading
from urllib.parse import parse_qs, urlsplit

seen = []


class SecurityTokenService(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        seen.append((self.path, body))
        answer = b"""<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
            <AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>
            <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
            </AssumeRoleWithWebIdentityResponse>"""
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self):
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SecurityTokenService)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(os.environ["FOLDER"] + "/certificate.pem", os.environ["FOLDER"] + "/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"https://127.0.0.1:{server.server_port}"
os.environ["AWS_ENDPOINT_URL_STS"] = base
from obstore.store import S3Store

store = S3Store("box", endpoint=base, region="eu-west-1", client_options={"allow_invalid_certificates": True},
                retry_config={"max_retries": 0})
try:
    store.get("object")
except Exception:
    pass
assert len(seen) >= 1, "object_store did not ask the STS endpoint"
target, body = seen[0]
print("POST", target.split("?")[0] + "?" + ", ".join(sorted(parse_qs(urlsplit(target).query))))
print("body:", len(body), "bytes")
assert "WebIdentityToken" in parse_qs(urlsplit(target).query) and body == b"", "object_store behaves differently now"
PY
