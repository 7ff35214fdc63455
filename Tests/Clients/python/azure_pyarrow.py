"""The Azure SDK for C++ by pyarrow: a blob."""

import os

import pyarrow
from pyarrow.fs import AzureFileSystem, FileSelector

host = os.environ["STORAGE_ENDPOINT"].removeprefix("https://").removesuffix("/" + os.environ["STORAGE_ACCOUNT"])
fs = AzureFileSystem(os.environ["STORAGE_ACCOUNT"], blob_storage_authority=host, dfs_storage_authority=host)
bucket = os.environ["STORAGE_BUCKET"]
print("version", "pyarrow", pyarrow.__version__)
print("object", fs.open_input_stream(f"{bucket}/greeting.txt").read().decode())
print("listing", fs.get_file_info(FileSelector(bucket))[0].base_name)
