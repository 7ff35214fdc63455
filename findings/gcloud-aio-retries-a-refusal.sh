#!/bin/bash
# gcloud-aio-auth asks the metadata server five times for a token that it is refused, with pauses between.
#
# Versions: gcloud-aio-auth 5.6.0, aiohttp 3.14.1 (PyPI).
# Expected: 403 is final, as it is to google-auth, Go, Java and Node: one request, and the error at once.
# Seen:     five requests, each after a random and ever longer pause (up to 1, 2, 4 and 8 s), before the 403 reaches the caller.
#           It asks for `token?recursive=true`, which no other client does: a server that refuses `recursive` at a leaf locks it out.
# So what:  a pod without permission looks like one that hangs; the audit and the counters of refusals show it five times.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check gcloud-aio-auth==5.6.0 aiohttp==3.14.1
cat > "$folder/ask.py" <<'PY'
import asyncio, http.server, os, threading

paths = []


class Metadata(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        paths.append(self.path)
        self.send_response(403)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["GCE_METADATA_HOST"] = f"127.0.0.1:{server.server_port}"
from gcloud.aio.auth import Token


async def main():
    token = Token(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    try:
        await token.get()
        raise SystemExit("it got a token")
    except Exception as error:
        print(len(paths), "requests for", paths[0], "and then", getattr(error, "status", error))
    await token.close()


asyncio.run(main())
PY
seen=$(HOME=$folder env -u GOOGLE_APPLICATION_CREDENTIALS "$folder/venv/bin/python" "$folder/ask.py")
echo "$seen"
path=/computeMetadata/v1/instance/service-accounts/default/token
[ "$seen" = "5 requests for $path?recursive=true and then 403" ]
