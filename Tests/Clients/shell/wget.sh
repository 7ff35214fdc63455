# GNU wget, or with the argument "busybox" the one of busybox.
set -eu
base=http://${GCE_METADATA_HOST:-metadata.google.internal}/computeMetadata/v1

ask() {
    "$@" -q -O - --header 'Metadata-Flavor: Google' "$base/$path"
}

if [ "${1:-}" = busybox ]; then
    # Debian's has no option for a timeout: -T crashes it.
    set -- busybox wget
    echo "version busybox $(busybox | sed -n '1s/BusyBox v\([^ ]*\) .*/\1/p')"
else
    set -- wget -T 20
    echo "version wget $(wget --version | sed -n '1s/GNU Wget \([^ ]*\) .*/\1/p')"
fi
path=project/project-id
project=$(ask "$@")
echo "project $project"
path=instance/service-accounts/default/token
ask "$@" | sed -n 's/.*"access_token":"\([^"]*\)".*/token \1/p'
