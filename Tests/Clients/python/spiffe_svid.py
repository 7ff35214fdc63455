"""Fetches SVIDs with py-spiffe over the Unix socket that SPIFFE_ENDPOINT_SOCKET names, and prints one JSON object."""
import json
import sys

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from spiffe import WorkloadApiClient

with WorkloadApiClient() as client:
    context = client.fetch_x509_context()
    svid = context.default_svid
    bundle = context.x509_bundle_set.get_bundle_for_trust_domain(svid.spiffe_id.trust_domain)
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    token = client.fetch_jwt_svid(audience={"vault"})
    checked = client.validate_jwt_svid(token.token, "vault")
    bundles = client.fetch_jwt_bundles()
    print(
        json.dumps(
            {
                "id": str(svid.spiffe_id),
                "serial": f"{svid.leaf.serial_number:x}",
                "key_matches": svid.private_key.public_key().public_bytes(*spki)
                == svid.leaf.public_key().public_bytes(*spki),
                "authorities": len(bundle.x509_authorities),
                "token_id": str(token.spiffe_id),
                "checked_id": str(checked.spiffe_id),
                "keys": len(bundles.get_bundle_for_trust_domain(svid.spiffe_id.trust_domain).jwt_authorities),
            }
        )
    )
    sys.stdout.flush()
