"""google-cloud-storage: lists a bucket and reads an object."""

import importlib.metadata
import os

from google.cloud import storage

client = storage.Client(client_options={"api_endpoint": os.environ["STORAGE_ENDPOINT"]})
bucket = os.environ["STORAGE_BUCKET"]
print("version", "google-cloud-storage", importlib.metadata.version("google-cloud-storage"))
print("project", client.project)
for blob in client.list_blobs(bucket):
    print("listing", blob.name)
    print("object", blob.download_as_text())
