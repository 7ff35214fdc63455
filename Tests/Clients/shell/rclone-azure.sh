# rclone with Azure Blob Storage: a listing and a blob. $1: rclone; $2: how it finds its credential; $3: what it wants of the
# endpoint: a URL, or a domain below which the account's name is a host.
set -eu
case $3 in
url) endpoint=$STORAGE_ENDPOINT ;;
domain) endpoint=$STORAGE_DOMAIN ;;
esac
options="--azureblob-account $STORAGE_ACCOUNT --azureblob-endpoint $endpoint --azureblob-$2"
echo "version $("$1" version 2> /dev/null | sed -n '1s/ v/ /p')"
"$1" lsf ":azureblob:$STORAGE_BUCKET" $options --retries 1 --low-level-retries 1 | sed 's/^/listing /'
"$1" cat ":azureblob:$STORAGE_BUCKET/greeting.txt" $options --retries 1 --low-level-retries 1 | sed 's/^/object /'
