# s3cmd: a listing and an object.
set -eu
host=${STORAGE_ENDPOINT#http://}
options="--host=$host --host-bucket=$host --no-ssl --region=eu-west-1"
echo "version $(s3cmd --version)"
s3cmd $options ls "s3://$STORAGE_BUCKET/" | awk -F/ '{ print "listing " $NF }'
s3cmd $options get --no-progress "s3://$STORAGE_BUCKET/greeting.txt" - 2> /dev/null | sed 's/^/object /'
