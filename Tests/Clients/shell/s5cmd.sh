# s5cmd (AWS SDK for Go v1): a listing and an object. $1: s5cmd.
set -eu
export AWS_REGION=eu-west-1
echo "version s5cmd $("$1" version)"
"$1" --endpoint-url "$STORAGE_ENDPOINT" ls "s3://$STORAGE_BUCKET/" | awk '{ print "listing " $4 }'
"$1" --endpoint-url "$STORAGE_ENDPOINT" cat "s3://$STORAGE_BUCKET/greeting.txt" | sed 's/^/object /'
