"""object_store (Rust) by obstore: a listing and an object."""

import importlib.metadata
import os

from obstore.store import S3Store

store = S3Store(
    os.environ["STORAGE_BUCKET"], region="eu-west-1", endpoint=os.environ["STORAGE_ENDPOINT"],
    virtual_hosted_style_request=False, client_options={"allow_http": True},
)
print("version", "obstore", importlib.metadata.version("obstore"))
print("listing", store.list().collect()[0]["path"])
print("object", bytes(store.get("greeting.txt").bytes()).decode())
