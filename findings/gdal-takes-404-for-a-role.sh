#!/bin/bash
# GDAL takes the body of a 404 for the session token, and for the name of a role.
#
# Versions: rasterio 1.4.4 (PyPI; carries GDAL 3.11.4).
# Expected: a metadata server that answers 404 to the token request is one without IMDSv2; its error page is no token.
# Seen:     GDAL sends the error page's text on as X-aws-ec2-metadata-token, and asks for
#           /latest/meta-data/iam/security-credentials/<the text of the second 404>.
# So what:  error bodies of a metadata server must be harmless as header values and as path segments.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rasterio==1.4.4
cat > "$folder/servers.py" <<'PY'
import http.server, os, threading

seen = []


class Metadata(http.server.BaseHTTPRequestHandler):
    def answer(self):
        seen.append((self.command, self.path, self.headers.get("X-aws-ec2-metadata-token")))
        body = b"no-such-page"
        self.send_response(404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = answer

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}"
import rasterio

options = {
    "CPL_AWS_EC2_API_ROOT_URL": base, "CPL_AWS_AUTODETECT_EC2": "NO", "AWS_S3_ENDPOINT": base[7:], "AWS_HTTPS": "NO",
    "AWS_VIRTUAL_HOSTING": "FALSE", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
}
with rasterio.Env(session=None, **options):
    try:
        rasterio.open("/vsis3/box/picture.tif")
    except Exception:
        pass
for request in seen:
    print(*request)
roles = [path for method, path, _ in seen if method == "GET" and path.endswith("/security-credentials/no-such-page")]
assert roles, "GDAL behaves differently now"
PY
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" "$folder/servers.py"
