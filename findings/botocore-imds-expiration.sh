#!/bin/bash
# botocore makes credentials of an instance metadata server younger than the server says.
#
# Versions: botocore 1.43.11 (PyPI).
# Expected: the session reports the document's own `Expiration`, or refuses a document that has expired.
# Seen:     with less than 15 minutes left, or none, botocore moves the expiry to now + 15 minutes + 2 to 10 minutes.
#           Credentials that ended a minute ago are reported as good for about 20 minutes, and requests are signed with them.
# So what:  a metadata server cannot end a session by a near `Expiration`; it must never hand out less than 25 minutes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check botocore==1.43.11
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" - <<'PY'
import datetime, http.server, json, os, threading

life = 0


class Metadata(http.server.BaseHTTPRequestHandler):
    def answer(self, body, **headers):
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_PUT(self):
        self.answer("token", X_Aws_Ec2_Metadata_Token_Ttl_Seconds="21600")

    def do_GET(self):
        if self.path.endswith("/security-credentials/"):
            return self.answer("role")
        now = datetime.datetime.now(datetime.timezone.utc)
        stamp = lambda seconds: (now + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.answer(json.dumps({
            "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": stamp(0), "Expiration": stamp(life),
            "AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "secret", "Token": "token"}))

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}/"
import botocore.session

for life, low, high in ((3600, 3590, 3600), (900, 1000, 1510), (100, 1000, 1510), (-60, 1000, 1510)):
    credentials = botocore.session.Session().get_credentials()
    left = (credentials._expiry_time - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
    print(f"the server says {life:5} s left, botocore says {left:6.0f} s")
    assert low < left <= high, "botocore behaves differently now"
PY
