# curl: HEAD, which must not mint, then GET.
set -eu
base=http://${GCE_METADATA_HOST:-metadata.google.internal}
accounts=$base/computeMetadata/v1/instance/service-accounts

ask() {
    curl -sS --fail-with-body --max-time 20 -H 'Metadata-Flavor: Google' "$@"
}

echo "version $(curl --version | head -n 1 | cut -d ' ' -f 1,2)"
ask --head "$base/" > /dev/null
ask --head "$accounts/default/token" > /dev/null
project=$(ask "$base/computeMetadata/v1/project/project-id")
echo "project $project"
# Without its final slash a directory redirects.
ask --location "$accounts" > /dev/null
email=$(ask "$accounts/default/email")
echo "email $email"
ask "$accounts/$email/token" | sed -n 's/.*"access_token":"\([^"]*\)".*/token \1/p'
