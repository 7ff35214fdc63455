"""boto3: the default credential chain, a listing and an object."""

import os

import boto3
import botocore
from botocore.config import Config

session = boto3.Session(region_name="eu-west-1")
s3 = session.client("s3", endpoint_url=os.environ["STORAGE_ENDPOINT"], config=Config(s3={"addressing_style": "path"}))
bucket = os.environ["STORAGE_BUCKET"]
print("version", "boto3", boto3.__version__, "botocore", botocore.__version__)
print("credential", session.get_credentials().get_frozen_credentials().access_key)
print("listing", s3.list_objects_v2(Bucket=bucket)["Contents"][0]["Key"])
print("object", s3.get_object(Bucket=bucket, Key="greeting.txt")["Body"].read().decode())
