# rclone with Google Cloud Storage: "cat" of a bucket lists it and reads what is in it.
set -eu
echo "version $(rclone version 2> /dev/null | sed -n '1s/ v/ /p')"
rclone cat ":gcs:$STORAGE_BUCKET" --gcs-endpoint "$STORAGE_ENDPOINT/storage/v1/" --retries 1 \
    --low-level-retries 1 | sed 's/^/object /'
