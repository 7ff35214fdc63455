#!/bin/bash
# Without credentials Arrow's S3 client (aws-sdk-cpp) sends unsigned requests instead of failing.
#
# Versions: pyarrow 25.0.1 (PyPI; carries aws-sdk-cpp).
# Expected: "no credentials" is an error, as in every other AWS SDK that was tried (botocore, Go, Rust, Ruby).
# Seen:     the metadata server says that there is no role (404), and the client asks S3 all the same, without any
#           Authorization header. A public bucket is then read as nobody, and a private one says "Access Denied", which
#           sends the reader to the bucket's policy and not to the missing identity.
# So what:  the metadata server's own explanation never reaches this user; it has to be an Event on the pod.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==25.0.1
cat > "$folder/servers.py" <<'PY'
import http.server, os, threading

metadata, storage = [], []


class Metadata(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body=b"", **headers):
        metadata.append(f"{self.command} {self.path} {status}")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        self.answer(200, b"token", X_Aws_Ec2_Metadata_Token_Ttl_Seconds="21600")

    def do_GET(self):
        self.answer(404)

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except ConnectionError:  # the client may hang up before it has read a 404
            self.close_connection = True

    def log_message(self, *_):
        pass


class Storage(Metadata):
    def do_GET(self):
        storage.append(self.headers.get("Authorization"))
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_PUT = do_GET


def serve(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_port}"


os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://" + serve(Metadata)
endpoint = serve(Storage)
from pyarrow import fs

s3 = fs.S3FileSystem(endpoint_override=endpoint, scheme="http", region="eu-west-1",
                     retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1))
try:
    s3.open_input_file("box/object").close()
    outcome = "opened"
except OSError as error:
    outcome = str(error).split(":")[0]
print("the metadata server was asked", len(metadata), "times, for example:", metadata[0])
print("S3 was asked with the Authorization headers", storage, "->", outcome)
assert any("404" in line for line in metadata), "the metadata server was not asked"
assert storage and all(header is None for header in storage), "aws-sdk-cpp behaves differently now"
PY
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" "$folder/servers.py"
