"""The AWS SDK for Rust by daft: a listing and an object."""

import importlib.metadata
import os

import daft
from daft.io import IOConfig, S3Config

config = IOConfig(s3=S3Config(endpoint_url=os.environ["STORAGE_ENDPOINT"], region_name="eu-west-1",
                              force_virtual_addressing=False))
bucket = os.environ["STORAGE_BUCKET"]
print("version", "daft", importlib.metadata.version("daft"))
paths = daft.from_glob_path(f"s3://{bucket}/*", io_config=config).to_pydict()["path"]
print("listing", paths[0].rsplit("/", 1)[1])
content = daft.from_pydict({"path": paths}).with_column("data", daft.col("path").download(io_config=config))
print("object", content.to_pydict()["data"][0].decode())
