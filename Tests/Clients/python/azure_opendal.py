"""reqsign (Rust) by opendal: a listing and a blob."""

import importlib.metadata
import os

import opendal

operator = opendal.Operator(
    "azblob", container=os.environ["STORAGE_BUCKET"], account_name=os.environ["STORAGE_ACCOUNT"],
    endpoint=os.environ["STORAGE_ENDPOINT"])
print("version", "opendal", importlib.metadata.version("opendal"))
print("listing", next(entry.path for entry in operator.list("") if entry.path not in ("", "/")))
print("object", bytes(operator.read("greeting.txt")).decode())
