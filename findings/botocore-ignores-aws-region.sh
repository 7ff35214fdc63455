#!/bin/bash
# botocore does not read AWS_REGION, the variable that every newer AWS SDK (and EKS's webhook) sets.
#
# Versions: botocore 1.43.11 (PyPI).
# Expected: AWS_REGION chooses the region, as in the AWS SDKs for Go, Rust, C++, Java 2 and JavaScript 3.
# Seen:     only AWS_DEFAULT_REGION counts. With AWS_REGION=eu-west-1 alone the session has no region, and the exchange of
#           a web identity token goes to the global endpoint, that is to another continent, and not to eu-west-1.
# So what:  documentation for pods names both variables.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check botocore==1.43.11
echo -n header.claims.signature > "$folder/token"
ask() {
    env -i PATH="$PATH" HOME="$folder" AWS_EC2_METADATA_DISABLED=true AWS_MAX_ATTEMPTS=1 \
        AWS_ROLE_ARN=arn:aws:iam::111122223333:role/example AWS_WEB_IDENTITY_TOKEN_FILE="$folder/token" "$@" \
        "$folder/venv/bin/python" - <<'PY'
import botocore.httpsession, botocore.session

asked = []


def send(self, request):
    """Every request ends here, before a packet leaves."""
    asked.append(request.url)
    raise botocore.httpsession.EndpointConnectionError(endpoint_url=request.url)


botocore.httpsession.URLLib3Session.send = send
session = botocore.session.Session()
try:
    session.get_credentials().get_frozen_credentials()
except Exception:
    pass
print(session.get_config_variable("region"), asked[0])
PY
}
new=$(ask AWS_REGION=eu-west-1)
old=$(ask AWS_DEFAULT_REGION=eu-west-1)
echo "AWS_REGION=eu-west-1:         region $new"
echo "AWS_DEFAULT_REGION=eu-west-1: region $old"
[[ "$new" == "None https://sts.amazonaws.com/"* && "$old" == "eu-west-1 https://sts.eu-west-1.amazonaws.com/"* ]] ||
    { echo "botocore behaves differently now" >&2; exit 1; }
