"""reqsign (Rust) by opendal: a listing and an object."""

import importlib.metadata
import os

import opendal

operator = opendal.Operator(
    "s3", bucket=os.environ["STORAGE_BUCKET"], endpoint=os.environ["STORAGE_ENDPOINT"], region="eu-west-1"
)
print("version", "opendal", importlib.metadata.version("opendal"))
print("listing", next(entry.path for entry in operator.list("") if entry.path not in ("", "/")))
print("object", bytes(operator.read("greeting.txt")).decode())
