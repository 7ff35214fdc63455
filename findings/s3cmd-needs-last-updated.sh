#!/bin/bash
# s3cmd fails on role credentials that lack LastUpdated, a member that no AWS SDK reads.
#
# Versions: s3cmd 2.4.0 (PyPI).
# Expected: AccessKeyId, SecretAccessKey, Token and Expiration are what credentials are used by; a client that gets these works.
# Seen:     a KeyError on LastUpdated ends s3cmd. With the member it signs its requests.
# So what:  a metadata server sends all seven members of EC2's document, whatever most SDKs need.
# s3cmd has the metadata server's address built in: the server listens at it, in a network namespace of its own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check s3cmd==2.4.0
cat > "$folder/servers.py" <<'PY'
import http.server, json, subprocess, sys, threading

member = False
signed = []


class Server(http.server.BaseHTTPRequestHandler):
    def answer(self, body=b"", status=200, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        self.answer(b"token", headers=[("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")])

    def do_GET(self):
        roles = "/latest/meta-data/iam/security-credentials/"
        if self.path == roles:
            self.answer(b"reader")
        elif self.path == roles + "reader":
            document = {"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "secret",
                        "Token": "token", "Expiration": "2099-01-01T00:00:00Z"}
            if member:
                document["LastUpdated"] = "2026-01-01T00:00:00Z"
            self.answer(json.dumps(document).encode())
        else:
            signed.append("ASIAEXAMPLE" in self.headers.get("Authorization", ""))
            self.answer(b"<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>")

    def log_message(self, *_):
        pass


threading.Thread(target=http.server.ThreadingHTTPServer(("169.254.169.254", 80), Server).serve_forever, daemon=True).start()
seen = {}
for member in (False, True):
    signed.clear()
    result = subprocess.run([sys.argv[1], "--host=169.254.169.254", "--host-bucket=169.254.169.254", "--no-ssl", "ls"],
                            capture_output=True, text=True)
    words = [line for line in result.stderr.splitlines() if "LastUpdated" in line or "ERROR" in line]
    seen[member] = (result.returncode, any(signed))
    print(f"with LastUpdated: {member}; status {result.returncode}, a signed request: {any(signed)}", *words[-2:], sep="\n  ")
assert seen[True] == (0, True), "s3cmd behaves differently now: it does not work with the member"
assert seen[False] != (0, True), "s3cmd behaves differently now: it works without the member"
PY
env -i PATH="$PATH" HOME="$folder" unshare --net sh -c \
    'ip link set lo up && ip addr add 169.254.169.254/32 dev lo && exec "$@"' sh \
    "$folder/venv/bin/python" "$folder/servers.py" "$folder/venv/bin/s3cmd"
