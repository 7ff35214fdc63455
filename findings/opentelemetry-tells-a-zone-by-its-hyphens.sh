#!/bin/bash
# OpenTelemetry's Google detector tells a zone from a region by counting hyphens, and gives up all it knows where that fails.
#
# Versions: opentelemetry-resourcedetector-gcp 1.14.0, opentelemetry-sdk 1.45.2, requests 2.34.2 (PyPI).
# Expected: cloud.region is the region, and cloud.availability_zone the zone (OpenTelemetry's semantic conventions, cloud); a location of
#           another kind costs this one attribute. Project, cluster name and host ID do not depend on it.
# Seen:     where KUBERNETES_SERVICE_HOST is set the detector reads instance/attributes/cluster-location. "europe-west1" is a region and
#           "europe-west1-b" a zone, as at Google; but AWS's region eu-west-1 becomes an availability zone, and for Azure's westeurope
#           and for "unknown" it raises ValueError. The SDK's aggregation logs that, and the resource has no attribute of the detector:
#           no project, no cluster.
# So what:  a metadata server outside Google gives cluster-location two parts for a region and three for a zone, or its pods' traces
#           name no cluster.
# The name is made in private mount and network namespaces: run as root.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check opentelemetry-resourcedetector-gcp==1.14.0 \
    opentelemetry-sdk==1.45.2 requests==2.34.2
cat > "$folder/ask.py" <<'PY'
import http.server, json, logging, threading

from opentelemetry.resourcedetector.gcp_resource_detector import GoogleCloudResourceDetector, _metadata
from opentelemetry.sdk.resources import Resource, get_aggregated_resources

location = ""


class Metadata(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({
            "instance": {"id": 1234567890123456789, "name": "node", "zone": "projects/1/zones/z",
                         "attributes": {"cluster-name": "shop", "cluster-location": location}},
            "project": {"projectId": "example", "numericProjectId": 1},
        }).encode()
        self.send_response(200)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.2", 80), Metadata)
threading.Thread(target=server.serve_forever, daemon=True).start()
logging.disable()
WANTED = ("cloud.region", "cloud.availability_zone", "k8s.cluster.name", "cloud.account.id")
seen = {}
for location in ("europe-west1", "europe-west1-b", "eu-west-1", "westeurope", "unknown"):
    _metadata.get_metadata.cache_clear()
    try:
        GoogleCloudResourceDetector().detect()
        outcome = "detected"
    except Exception as error:
        outcome = f"{type(error).__name__}: {error}"
    _metadata.get_metadata.cache_clear()
    found = get_aggregated_resources([GoogleCloudResourceDetector()], Resource.get_empty()).attributes
    seen[location] = {name: found[name] for name in WANTED if name in found}
    print(f"{location}: {outcome}; {seen[location]}")
rest = {"k8s.cluster.name": "shop", "cloud.account.id": "example"}
assert seen == {
    "europe-west1": {"cloud.region": "europe-west1", **rest},
    "europe-west1-b": {"cloud.availability_zone": "europe-west1-b", **rest},
    "eu-west-1": {"cloud.availability_zone": "eu-west-1", **rest},
    "westeurope": {},
    "unknown": {},
}, "the detector behaves differently now"
PY
echo "127.0.0.2 metadata.google.internal" > "$folder/hosts"
env -i PATH="$PATH" HOME="$folder" KUBERNETES_SERVICE_HOST=10.96.0.1 unshare --mount --net bash -c \
    'ip link set lo up; mount --bind "$0/hosts" /etc/hosts; exec "$0/venv/bin/python" "$0/ask.py"' "$folder"
