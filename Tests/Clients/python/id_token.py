"""google-auth: an identity token for one audience."""

import importlib.metadata
import os

import google.auth.transport.requests
import google.oauth2.id_token

request = google.auth.transport.requests.Request()
print("version", "google-auth", importlib.metadata.version("google-auth"))
print("identity", google.oauth2.id_token.fetch_id_token(request, os.environ["AUDIENCE"]))
