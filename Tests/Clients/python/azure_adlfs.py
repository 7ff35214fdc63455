"""adlfs: a listing and a blob."""

import importlib.metadata
import os

from adlfs import AzureBlobFileSystem

fs = AzureBlobFileSystem(account_name=os.environ["STORAGE_ACCOUNT"], account_host=os.environ["STORAGE_HOST"], anon=False)
bucket = os.environ["STORAGE_BUCKET"]
print("version", "adlfs", importlib.metadata.version("adlfs"))
print("listing", fs.ls(bucket)[0].removeprefix(f"{bucket}/"))
print("object", fs.cat_file(f"{bucket}/greeting.txt").decode())
