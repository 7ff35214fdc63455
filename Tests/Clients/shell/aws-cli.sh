# AWS's command-line tool: a listing and an object. $1: the tool.
set -eu
export AWS_DEFAULT_REGION=eu-west-1
echo "version $("$1" --version | cut -d' ' -f1,2)"
"$1" --endpoint-url "$STORAGE_ENDPOINT" s3 ls "s3://$STORAGE_BUCKET/" | awk '{ print "listing " $4 }'
"$1" --endpoint-url "$STORAGE_ENDPOINT" s3 cp "s3://$STORAGE_BUCKET/greeting.txt" - | sed 's/^/object /'
