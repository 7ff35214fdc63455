#!/bin/bash
# pykube-ng reads a pod's token once for ever, and runs an exec plugin for every single request.
#
# Versions: pykube-ng 23.6.0, requests 2.34.2 (PyPI).
# Expected: the rules of client-go: the token file is read again within a minute (kubelets replace it before its end); a plugin's
#           credential is kept until its expirationTimestamp; client.authentication.k8s.io/v1 is known (Kubernetes 1.22).
# Seen:     1. after the token file has been replaced, requests still carry the old token.
#           2. three requests run the plugin three times, though its credential is good until 2099.
#           3. a plugin of v1 is refused: "auth exec api version ... not implemented".
# So what:  what is bound to a pod's life outlives it in such a process only as long as the API server extends tokens to a year
#           (--service-account-extend-token-expiration); where it does not, everything is 401 after an hour.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pykube-ng==23.6.0 requests==2.34.2
cat > "$folder/ask.py" <<'PY'
import http.server, os, pathlib, sys, threading
import pykube

folder = pathlib.Path(sys.argv[1])
tokens = []


class API(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        tokens.append(self.headers.get("Authorization"))
        body = b'{"major":"1","minor":"37"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), API)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}"

account = folder / "account"
account.mkdir()
(account / "namespace").write_text("default")
(account / "token").write_text("first")
os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"] = "127.0.0.1", "443"
config = pykube.KubeConfig.from_service_account(path=str(account))
config.doc["clusters"][0]["cluster"] = {"server": address}
api = pykube.HTTPClient(config)
api.get(url="version", base="", version="")
(account / "token").write_text("second")
api.get(url="version", base="", version="")
print("token file:", tokens)

runs = folder / "runs"
plugin = folder / "plugin"
plugin.write_text(f"""#!/bin/sh
echo run >> {runs}
echo '{{"status": {{"token": "plugin", "expirationTimestamp": "2099-01-01T00:00:00Z"}}}}'
""")
plugin.chmod(0o755)


def client(version):
    return pykube.HTTPClient(pykube.KubeConfig({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": address}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "users": [{"name": "a", "user": {"exec": {
            "apiVersion": f"client.authentication.k8s.io/{version}", "command": str(plugin)}}}],
    }))


api = client("v1beta1")
for _ in range(3):
    api.get(url="version", base="", version="")
print("plugin runs:", len(runs.read_text().split()))
try:
    client("v1").get(url="version", base="", version="")
except NotImplementedError as error:
    print("v1:", error)
PY
seen=$("$folder/venv/bin/python" "$folder/ask.py" "$folder")
echo "$seen"
[ "$seen" = "token file: ['Bearer first', 'Bearer first']
plugin runs: 3
v1: auth exec api version client.authentication.k8s.io/v1 not implemented" ]
