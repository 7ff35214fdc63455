"""object_store (Rust) by polars: an object in a bucket that it lists."""

import importlib.metadata
import os

import polars

frame = polars.scan_csv(
    f"s3://{os.environ['STORAGE_BUCKET']}/*.txt", has_header=False, include_file_paths="path", credential_provider=None,
    storage_options={"aws_endpoint_url": os.environ["STORAGE_ENDPOINT"], "aws_region": "eu-west-1", "aws_allow_http": "true",
                     "aws_virtual_hosted_style_request": "false"}).collect()
print("version", "polars", importlib.metadata.version("polars"))
print("listing", frame["path"][0].rsplit("/", 1)[1])
print("object", frame.drop("path").row(0)[0])
