#!/bin/bash
# minio-py takes the token of a container's credentials for the name of a file.
#
# Versions: minio 7.2.20 (PyPI).
# Expected: IamAwsProvider(auth_token=...) sends its argument as the Authorization header, as AWS_CONTAINER_AUTHORIZATION_TOKEN is sent.
# Seen:     it opens a file of that name: FileNotFoundError. With the token in the file of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE the
#           endpoint is asked, and the variable without a file works for a loopback address alone.
# So what:  pods that use minio-py with an endpoint for containers need the token in a file.
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
