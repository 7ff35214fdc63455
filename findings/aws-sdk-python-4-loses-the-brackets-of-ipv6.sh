#!/bin/bash
# AWS's new SDK for Python allows EKS Pod Identity's IPv6 address, and makes no connection to an address that a variable gives in IPv6.
#
# Versions: aws-credentials-http 0.4.0, aws-credentials-imds 0.4.0, smithy-aws-core 0.12.0, smithy-http 0.6.0 (the AWS SDK for Python 4),
#           aiohttp 3.14.5, botocore 1.43.11 (PyPI); needs Python 3.12 or later, as that SDK does.
# Expected: in clusters of IPv6 EKS sets AWS_CONTAINER_CREDENTIALS_FULL_URI=http://[fd00:ec2::23]/v1/credentials, and fd00:ec2::23 is among
#           the hosts that the SDK allows. The instance metadata service is reached by AWS_EC2_METADATA_SERVICE_ENDPOINT, such as
#           http://[fd00:ec2::254], or by AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE=IPv6 (AWS SDKs and Tools reference). botocore does it all.
# Seen:     the URL that the SDK gives its transport, aiohttp, has lost the brackets of the address. The container's credentials fail
#           with "Failed to retrieve container metadata after 3 attempt(s)" after two seconds, in which no connection is made. The endpoint
#           ends in a ValueError, which the chain of providers does not catch. The mode works: the SDK has that address with brackets.
# So what:  a pod that is given EKS Pod Identity's IPv6 address gets no credentials, and the message makes one look for the agent's fault.
#           Give it the IPv4 address where the agent listens there as well, or for an instance's credentials set the mode.
# Needs root: makes a network namespace.
set -euo pipefail
python=
for candidate in python3.14 python3.13 python3.12 python3 "$(pyenv root 2> /dev/null)"/versions/3.1[2-9]*/bin/python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2> /dev/null; then python=$candidate; fi
done
[ -n "$python" ] || { echo "Python 3.12 or later is missing here." >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check aws-credentials-http==0.4.0 aws-credentials-imds==0.4.0 \
    smithy-aws-core==0.12.0 smithy-core==0.9.0 smithy-http==0.6.0 aiohttp==3.14.5 yarl==1.25.1 botocore==1.43.11
cat > "$folder/try.py" <<'PY'
import asyncio, http.server, json, logging, os, socket, sys, threading

connections = []


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

    def verify_request(self, *_):
        connections.append(self.server_address[0])
        return True


class Metadata(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answer = "shop" if self.path.rstrip("/").endswith("/security-credentials") else json.dumps({
            "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": "2099-01-01T00:00:00Z",
            "AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "secret", "Token": "token"})
        self.send_response(200)
        self.send_header("x-aws-ec2-metadata-token-ttl-seconds", "21600")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    do_PUT = do_GET

    def log_message(self, *_):
        pass


for address in "fd00:ec2::23", "fd00:ec2::254":
    threading.Thread(target=Server((address, 80), Metadata).serve_forever, daemon=True).start()
logging.disable(logging.CRITICAL)
import botocore.session
from smithy_aws_core.identity import AWSCredentialsIdentity
from smithy_aws_core.identity.chain import IdentityChain


async def chain():
    return (await (await IdentityChain.create(AWSCredentialsIdentity)).get_identity(properties={})).access_key_id


CASES = {"container": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://[fd00:ec2::23]/v1/credentials"},
         "instance": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://[fd00:ec2::254]"},
         "instance by its mode": {"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv6"}}
CLIENTS = {"SDK 4": lambda: asyncio.run(chain()), "botocore": lambda: botocore.session.Session().get_credentials().access_key}
for case, variables in CASES.items():
    os.environ.update(variables)
    for name, ask in CLIENTS.items():
        connections.clear()
        try:
            result = ask()
        except Exception as error:
            result = f"{type(error).__name__}, {len(connections)} connections"
            print(error, file=sys.stderr)
        print(f"{case}, {name}: {result}")
    for variable in variables:
        del os.environ[variable]
PY
env -i PATH="$PATH" HOME="$folder" unshare --net sh -c 'ip link set lo up && ip addr add fd00:ec2::23/128 dev lo nodad &&
    ip addr add fd00:ec2::254/128 dev lo nodad && exec "$@"' sh "$folder/venv/bin/python" "$folder/try.py" > "$folder/seen"
cat "$folder/seen"
[ "$(cat "$folder/seen")" = "container, SDK 4: IdentityChainError, 0 connections
container, botocore: ASIAEXAMPLE
instance, SDK 4: ValueError, 0 connections
instance, botocore: ASIAEXAMPLE
instance by its mode, SDK 4: ASIAEXAMPLE
instance by its mode, botocore: ASIAEXAMPLE" ]
