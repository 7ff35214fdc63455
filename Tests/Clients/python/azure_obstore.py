"""object_store (Rust) by obstore: a listing and a blob."""

import importlib.metadata
import os

from obstore.store import AzureStore

store = AzureStore(
    os.environ["STORAGE_BUCKET"], account_name=os.environ["STORAGE_ACCOUNT"], endpoint=os.environ["STORAGE_ENDPOINT"])
print("version", "obstore", importlib.metadata.version("obstore"))
print("listing", store.list().collect()[0]["path"])
print("object", bytes(store.get("greeting.txt").bytes()).decode())
