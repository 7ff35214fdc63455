# restic (minio-go): makes a repository, keeps a file in it, and reads the file back.
set -eu
export RESTIC_PASSWORD=lab RESTIC_REPOSITORY="s3:$STORAGE_ENDPOINT/$STORAGE_BUCKET/restic" AWS_DEFAULT_REGION=eu-west-1
echo "version $(restic version | cut -d' ' -f1,2)"
cd "$HOME"
printf 'hello from the lab' > greeting.txt
restic --quiet init
restic --quiet --no-cache backup greeting.txt
restic --quiet --no-cache ls latest | awk -F/ '/greeting/ { print "listing " $NF }'
restic --quiet --no-cache dump latest greeting.txt | sed 's/^/object /'
