"""google-cloud-logging: finds out where it runs, which decides how its entries are labelled."""

import importlib.metadata

from google.cloud.logging_v2.handlers import _monitored_resources

print("version google-cloud-logging", importlib.metadata.version("google-cloud-logging"))
resource = _monitored_resources.detect_resource()
if resource.type == "global":
    raise SystemExit("it does not find the metadata server")
print("resource", resource.type)
print("project", resource.labels["project_id"])
