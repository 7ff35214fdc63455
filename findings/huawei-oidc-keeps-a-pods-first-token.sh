#!/bin/bash
# Huawei Cloud's SDK for Python reads a pod's token once, where it exchanges it by OIDC, and fails for good when that token ends.
#
# Versions: huaweicloudsdkcore 3.1.219 (PyPI).
# Expected: "The application is responsible for reloading the token when it rotates" (Kubernetes, Configure Service Accounts for Pods): the
#           kubelet replaces a projected token at 80 % of its life. The variable names a file, HUAWEICLOUD_OIDC_TOKEN_FILE. The two other
#           providers of this package that take a pod's token from a file read it for each exchange.
# Seen:     OidcStsCredentialProvider reads the file when it is asked for credentials, and never again. The file is replaced, and the old
#           token has ended: each call of a service fails with "failed to get credential from oidc sts". The credentials that the SDK holds
#           live for 30 more minutes then, for it exchanges what lives for less than 40. The other two send the new token.
# So what:  with a token of an hour, as Kubernetes makes it, such a process works for an hour. Ask the provider for new credentials before
#           that, or give the file to EnvCredentialProvider (HUAWEICLOUD_SDK_ID_TOKEN_FILE).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check huaweicloudsdkcore==3.1.219
cat > "$folder/try.py" <<'PY'
import datetime, http.server, json, os, pathlib, threading

valid, sent, signed = None, [], []


class Cloud(http.server.BaseHTTPRequestHandler):
    """Huawei's STS, its IAM, its endpoint for pods, and a service."""

    def answer(self, status, body, **headers):
        body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        signed.append("Access=example" in self.headers["Authorization"])
        self.answer(200, {"name": "a"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        end = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=30)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if self.path.endswith("/securitytokens"):
            self.answer(201, {"credential": {"access": "example", "secret": "a", "securitytoken": "b", "expires_at": end}})
            return
        if self.path.endswith("/id-token/tokens"):
            token = body["auth"]["id_token"]["id"]
        else:
            token = body.get("id_token") or self.headers["Authorization"]
        sent.append(token)
        if token != valid:
            self.answer(401, {"error_code": "STS.0001", "error_msg": "the token has ended"})
        elif self.path.endswith("/id-token/tokens"):
            self.answer(201, {"token": {}}, X_Subject_Token="unscoped")
        else:
            self.answer(200, {"credentials": {
                "access_key_id": "example", "secret_access_key": "a", "security_token": "b", "expiration": end}})

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cloud)
threading.Thread(target=server.serve_forever, daemon=True).start()
place = f"http://127.0.0.1:{server.server_port}"
file = pathlib.Path(__file__).with_name("token")
os.environ.update({
    "HUAWEICLOUD_SDK_PROJECT_ID": "1", "HUAWEICLOUD_SDK_STS_ENDPOINT": place, "HUAWEICLOUD_SDK_IAM_ENDPOINT": place,
    "HUAWEICLOUD_OIDC_PROVIDER_URN": "iam::1:oidcProvider:cluster", "HUAWEICLOUD_OIDC_AGENCY_URN": "iam::1:agency:shop",
    "HUAWEICLOUD_OIDC_TOKEN_FILE": str(file),
    "HUAWEICLOUD_SDK_IDP_ID": "cluster", "HUAWEICLOUD_SDK_ID_TOKEN_FILE": str(file),
    "HC_CONTAINER_CREDENTIALS_FULL_URI": place + "/pod", "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(file)})

from huaweicloudsdkcore.auth import provider
from huaweicloudsdkcore.client import Client, ClientBuilder
from huaweicloudsdkcore.exceptions.exceptions import SdkException
from huaweicloudsdkcore.sdk_response import SdkResponse


class Thing(SdkResponse):
    """What the service answers."""
    openapi_types, attribute_map, sensitive_list = {"name": "str"}, {"name": "name"}, []

    def __init__(self, name=None):
        super().__init__()
        self.name = name


def write(token):
    global valid
    valid = token
    file.write_text(token)


for kind in ("EnvCredentialProvider", "PodIdentityCredentialProvider", "OidcStsCredentialProvider"):
    write("first")
    credentials = getattr(provider, kind).get_basic().get_credentials()
    credentials.project_id = "1"
    client = ClientBuilder(Client).with_credentials(credentials).with_endpoints([place]).build()
    client.do_http_request("GET", "/v1/thing", header_params={}, response_type=Thing)
    write("second")
    results = []
    for _ in range(2):
        sent.clear()
        try:
            client.do_http_request("GET", "/v1/thing", header_params={}, response_type=Thing)
            results.append("served")
        except SdkException as error:
            results.append(str(error).split(",")[0].removeprefix("SdkException - "))
    print(f"{kind}: sends the {sent[-1]} token, {' and '.join(dict.fromkeys(results))}")
assert signed and all(signed)
PY
seen=$(env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" -W ignore "$folder/try.py")
echo "$seen"
[ "$seen" = "EnvCredentialProvider: sends the second token, served
PodIdentityCredentialProvider: sends the second token, served
OidcStsCredentialProvider: sends the first token, failed to get credential from oidc sts" ]
