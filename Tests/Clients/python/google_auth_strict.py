"""Gets a token with google-auth, unmodified, and prints its version, every URL that it asks and the beginning of the token.

Ends with the first request that fails: google-auth itself would repeat it for a minute."""
import sys

import google.auth.compute_engine
import google.auth.transport.requests
import google.auth.version
import requests

print("version", google.auth.version.__version__)
send = requests.Session.send


def spy(session, request, **arguments):
    print(request.url.replace("://", " ", 1), flush=True)
    try:
        return send(session, request, **arguments)
    except requests.RequestException as error:
        sys.exit(f"failed: {error!r}")


requests.Session.send = spy
credentials = google.auth.compute_engine.Credentials()
credentials.refresh(google.auth.transport.requests.Request())
print("token", credentials.token[:16])
