# rclone with S3: a listing and an object. $1: rclone. With the provider AWS, rclone 1.60 puts the name of the bucket before the
# host, even where that is an address.
set -eu
options="--s3-provider Other --s3-env-auth --s3-region eu-west-1 --s3-endpoint $STORAGE_ENDPOINT --s3-no-check-bucket"
echo "version $("$1" version 2> /dev/null | sed -n '1s/ v/ /p')"
"$1" lsf ":s3:$STORAGE_BUCKET" $options --retries 1 --low-level-retries 1 | sed 's/^/listing /'
"$1" cat ":s3:$STORAGE_BUCKET/greeting.txt" $options --retries 1 --low-level-retries 1 | sed 's/^/object /'
