"""aws-sdk-cpp by pyarrow: a listing and an object."""

import os

import pyarrow
from pyarrow.fs import FileSelector, S3FileSystem

fs = S3FileSystem(
    region="eu-west-1", endpoint_override=os.environ["STORAGE_ENDPOINT"].removeprefix("http://"), scheme="http"
)
bucket = os.environ["STORAGE_BUCKET"]
print("version", "pyarrow", pyarrow.__version__)
print("listing", fs.get_file_info(FileSelector(bucket))[0].base_name)
print("object", fs.open_input_stream(f"{bucket}/greeting.txt").read().decode())
