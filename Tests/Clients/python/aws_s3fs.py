"""s3fs: a listing and an object."""

import importlib.metadata
import os

import s3fs

fs = s3fs.S3FileSystem(
    client_kwargs={"endpoint_url": os.environ["STORAGE_ENDPOINT"], "region_name": "eu-west-1"},
    config_kwargs={"s3": {"addressing_style": "path"}},
)
bucket = os.environ["STORAGE_BUCKET"]
print("version", "s3fs", importlib.metadata.version("s3fs"))
print("listing", fs.ls(bucket)[0].removeprefix(f"{bucket}/"))
print("object", fs.cat(f"{bucket}/greeting.txt").decode())
