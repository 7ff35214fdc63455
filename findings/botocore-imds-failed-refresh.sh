#!/bin/bash
# One failed refresh of instance metadata credentials fails the user's call, with many minutes of life left.
#
# Versions: botocore 1.43.11 (PyPI).
# Expected: within the advisory window (15 to 10 minutes before the end) a failed refresh is tolerated, whatever the
#           source: the old credentials are still good.
# Seen:     with a container endpoint that answers 500 the old credentials go on; with an instance metadata server that
#           answers 500 the very next use raises CredentialRetrievalError, because the fetcher returns an empty document
#           instead of raising, and the tolerance is for exceptions only.
# So what:  a metadata server must never answer an error while it holds a valid credential.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check botocore==1.43.11
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" - <<'PY'
import datetime, http.server, json, os, threading

fails = False


class Metadata(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_PUT(self):
        if fails:
            return self.answer(500, "")
        self.answer(200, "token", X_Aws_Ec2_Metadata_Token_Ttl_Seconds="21600")

    def do_GET(self):
        if fails:
            return self.answer(500, "")
        if self.path.endswith("/security-credentials/"):
            return self.answer(200, "role")
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
        self.answer(200, json.dumps({
            "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z",
            "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "secret", "Token": "token"}))

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}"
import botocore.credentials, botocore.session


def use_with_13_minutes_left(environment):
    """A first fetch, then a use inside of the advisory window while the endpoint fails."""
    global fails
    fails = False
    for name in ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        os.environ.pop(name, None)
    os.environ.update(environment)
    credentials = botocore.session.Session().get_credentials()
    assert credentials.access_key == "ASIAEXAMPLE"
    now = datetime.datetime.now(datetime.timezone.utc)
    credentials._expiry_time = now + datetime.timedelta(minutes=13)
    fails = True
    try:
        return "old credentials, " + credentials.get_frozen_credentials().access_key
    except Exception as error:
        return type(error).__name__


container = use_with_13_minutes_left({"AWS_CONTAINER_CREDENTIALS_FULL_URI": base + "/credentials"})
instance = use_with_13_minutes_left({"AWS_EC2_METADATA_SERVICE_ENDPOINT": base + "/"})
print("13 minutes left, the container endpoint answers 500:        ", container)
print("13 minutes left, the instance metadata server answers 500:  ", instance)
assert container == "old credentials, ASIAEXAMPLE", "botocore behaves differently now"
assert instance == "CredentialRetrievalError", "botocore behaves differently now"
PY
