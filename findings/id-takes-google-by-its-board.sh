#!/bin/bash
# `id`, by which sigstore and twine find an identity, asks Google's metadata server only on a board that Google built.
#
# Versions: id 1.6.1 (PyPI).
# Expected: as google-auth does, the metadata server is asked, and its answer decides.
# Seen:     /sys/class/dmi/id/product_name decides: anything but "Google" or "Google Compute Engine" means no identity, and no
#           request is made. With GOOGLE_SERVICE_ACCOUNT_NAME the file is not read, and the server is asked by its shortest name,
#           http://metadata/, which a cluster's DNS answers only where its search list ends in google.internal.
# So what:  behind an attributed metadata server on other machines a signing job finds no identity, and no refusal is logged
#           anywhere. Name the account and serve the name `metadata`, or pass a token of the identity endpoint to the tool.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check id==1.6.1
cat > "$folder/ask.py" <<'PY'
import io, os
import id
from id._internal.oidc import ambient

asked = []


class Answer:
    """What a metadata server without a token for this pod says."""

    status = 403
    data = b"forbidden"


def request(method, url, **_):
    asked.append(url)
    return Answer()


ambient._request = request
for board in ["Google Compute Engine", "Standard PC (Q35 + ICH9, 2009)"]:
    ambient._open = lambda _, board=board: io.StringIO(board + "\n")
    asked.clear()
    try:
        result = ambient.detect_gcp("sigstore")
    except id.AmbientCredentialError:
        result = "an error"
    print(f"{board}: {len(asked)} requests, {result}")
os.environ["GOOGLE_SERVICE_ACCOUNT_NAME"] = "signer@project.iam.gserviceaccount.com"
asked.clear()
try:
    ambient.detect_gcp("sigstore")
except id.AmbientCredentialError:
    print("account named:", asked)
PY
seen=$(env -u GOOGLE_SERVICE_ACCOUNT_NAME "$folder/venv/bin/python" "$folder/ask.py")
echo "$seen"
[ "$seen" = "Google Compute Engine: 1 requests, an error
Standard PC (Q35 + ICH9, 2009): 0 requests, None
account named: ['http://metadata/computeMetadata/v1/instance/service-accounts/default/token']" ]
