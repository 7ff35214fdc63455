"""google-auth: Application Default Credentials, a refresh, the universe."""

import importlib.metadata

import google.auth
import google.auth.transport.requests

credentials, project = google.auth.default()
credentials.refresh(google.auth.transport.requests.Request())
print("version", "google-auth", importlib.metadata.version("google-auth"))
print("project", project)
print("token", credentials.token)
print("email", credentials.service_account_email)
print("universe", credentials.universe_domain)
