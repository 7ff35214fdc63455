# Go's OnGCE, in as many processes as the argument says: the library remembers its answer for the life of a process.
set -eu
detections=0
while [ "$detections" -lt "$1" ]; do
    version=$("$CLIENTS/go-metadata" detect)
    detections=$((detections + 1))
done
echo "$version"
echo "detections $detections"
