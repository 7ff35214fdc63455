"""azure-identity: the default chain and a managed identity alone, a listing and a blob."""

import importlib.metadata
import os
import re

import requests
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

tokens = [
    credential.get_token("https://storage.azure.com/.default").token
    for credential in (DefaultAzureCredential(), ManagedIdentityCredential())
]
assert tokens[0] == tokens[1]
headers = {"Authorization": f"Bearer {tokens[0]}", "x-ms-version": "2021-08-06"}
base = f"{os.environ['STORAGE_ENDPOINT']}/{os.environ['STORAGE_BUCKET']}"
listing = requests.get(f"{base}?restype=container&comp=list", headers=headers, timeout=10)
blob = requests.get(f"{base}/greeting.txt", headers=headers, timeout=10)
print("version", "azure-identity", importlib.metadata.version("azure-identity"))
print("listing", re.search("<Name>(.*)</Name>", listing.text)[1])
print("object", blob.text)
