#!/bin/bash
# minio-py's provider of container credentials refuses the address of EKS Pod Identity, and takes a token for a file's name.
#
# Versions: minio 7.2.20 (PyPI).
# Expected: the rules of the AWS SDKs: AWS_CONTAINER_CREDENTIALS_FULL_URI may name loopback, 169.254.170.2, 169.254.170.23 or
#           fd00:ec2::23; a token that is passed as such is the Authorization header.
# Seen:     1. http://169.254.170.23/... with AWS_CONTAINER_AUTHORIZATION_TOKEN: "169.254.170.23 is not loopback only host".
#           2. with AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE the same address is asked, and so is any other: no check at all.
#           3. IamAwsProvider(auth_token=...) opens a file that is named like the token, so that the token is in the error's text.
# So what:  pods that use minio-py on EKS must set the token by file, or use the instance's endpoint.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check minio==7.2.20
cat > "$folder/ask.py" <<'PY'
import os, sys
import urllib3
from minio.credentials import IamAwsProvider

asked = []


class Recorder:
    """Stands for the HTTP client: notes what would be asked, and answers with credentials."""

    def urlopen(self, method, url, body=None, headers=None, **_):
        asked.append((method, url, dict(headers or {})))
        text = (b'{"AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2099-01-01T00:00:00Z"}')
        return urllib3.HTTPResponse(body=text, status=200)


def attempt(name, **arguments):
    asked.clear()
    try:
        IamAwsProvider(http_client=Recorder(), **arguments).retrieve()
        print(name, "asked", asked[0][1], asked[0][2].get("Authorization"))
    except Exception as error:
        print(name, type(error).__name__, error)


os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://169.254.170.23/v1/credentials"
os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "sample"
attempt("token")
del os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = sys.argv[1]
attempt("file")
del os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]
attempt("argument", auth_token="sample")
PY
printf sample > "$folder/token"
seen=$(cd "$folder" && mkdir empty && cd empty && ../venv/bin/python ../ask.py ../token)
echo "$seen"
[ "$seen" = "token ValueError 169.254.170.23 is not loopback only host
file asked http://169.254.170.23/v1/credentials sample
argument FileNotFoundError [Errno 2] No such file or directory: 'sample'" ]
