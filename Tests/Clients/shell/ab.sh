# ab, which speaks HTTP/1.0: 50 requests on connections of their own, then 50 kept alive.
set -eu
url=http://${GCE_METADATA_HOST:-metadata.google.internal}
url=$url/computeMetadata/v1/instance/service-accounts/default/token

echo "version ab $(ab -V | sed -n 's/.*Version \([^ ]*\).*/\1/p')"
for mode in '' -k; do
    # At this verbosity ab prints every answer.
    output=$(ab -q -v 4 -n 50 -c 5 $mode -H 'Metadata-Flavor: Google' "$url")
    echo "$output" | sed -n 's/^Complete requests: *\([0-9]*\)$/complete \1/p; s/^Failed requests: *\([0-9]*\)$/failed \1/p'
    echo "$output" | sed -n 's/.*"access_token":"\([^"]*\)".*/token \1/p' | sort -u
done
