"""msal: a managed identity, a listing and a blob."""

import importlib.metadata
import os
import re

import msal
import requests

client = msal.ManagedIdentityClient(msal.SystemAssignedManagedIdentity(), http_client=requests.Session())
token = client.acquire_token_for_client(resource="https://storage.azure.com")["access_token"]
headers = {"Authorization": f"Bearer {token}", "x-ms-version": "2021-08-06"}
base = f"{os.environ['STORAGE_ENDPOINT']}/{os.environ['STORAGE_BUCKET']}"
listing = requests.get(f"{base}?restype=container&comp=list", headers=headers, timeout=10)
blob = requests.get(f"{base}/greeting.txt", headers=headers, timeout=10)
print("version", "msal", importlib.metadata.version("msal"))
print("listing", re.search("<Name>(.*)</Name>", listing.text)[1])
print("object", blob.text)
