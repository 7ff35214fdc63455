#!/bin/bash
# Authlib drops the leading zero of an elliptic curve key, and gives one key two thumbprints.
#
# Versions: Authlib 1.9.10, joserfc 1.8.0, jwcrypto 1.6.1, PyJWT 2.15.1, cryptography 50.0.2 (PyPI).
# Expected: x and y of a JWK are as long as the curve's field (RFC 7518, section 6.2.1.2: 32 octets for P-256, 66 for P-521),
#           so that a key has one thumbprint (RFC 7638) whoever computes it.
# Seen:     from PEM, Authlib writes each number as short as it is: one key of P-256 in 128, and three of P-521 in four, have a
#           short x or y. PyJWT refuses this JWK, and its thumbprint is another one than that of joserfc (of Authlib's own
#           author) and jwcrypto. The same key, read by Authlib from a correct JWK, has the right thumbprint.
# So what:  a key set, a `kid` or a `cnf.jkt` that is made with Authlib fails for one pod in 128, and for the others never. joserfc was
#           mended in 2026; Authlib points its users to it, and still ships its own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check Authlib==1.9.10 joserfc==1.8.0 jwcrypto==1.6.1 PyJWT==2.15.1 \
    cryptography==50.0.2
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" -W ignore - <<'PY'
import base64, json
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
import authlib.jose, joserfc.jwk, jwcrypto.jwk, jwt

SIZES = {"P-256": (ec.SECP256R1(), 32, "ES256"), "P-521": (ec.SECP521R1(), 66, "ES512")}


def octets(text):
    return len(base64.urlsafe_b64decode(text + "=="))


def public(curve, secret):
    return ec.derive_private_key(secret, curve).public_key()


for name, (curve, size, algorithm) in SIZES.items():
    # The first key whose x begins with a zero; every key is as valid as the others.
    secret = next(d for d in range(1, 10_000) if public(curve, d).public_numbers().x >> 8 * (size - 1) == 0)
    pem = public(curve, secret).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    short = authlib.jose.ECKey.import_key(pem)
    right = joserfc.jwk.ECKey.import_key(pem)
    other = jwcrypto.jwk.JWK.from_pem(pem)
    again = authlib.jose.ECKey.import_key(json.loads(other.export_public()))
    print(f"{name}: x has {octets(short.as_dict()['x'])} octets in Authlib, {octets(right.as_dict()['x'])} in joserfc,"
          f" {octets(json.loads(other.export_public())['x'])} in jwcrypto")
    print("  thumbprints: Authlib", short.thumbprint(), "others", right.thumbprint(), "Authlib from a JWK", again.thumbprint())
    try:
        jwt.PyJWK.from_dict(short.as_dict(), algorithm)
        refused = False
    except jwt.exceptions.InvalidKeyError as error:
        refused = True
        print("  PyJWT:", error)
    jwt.PyJWK.from_dict(right.as_dict(), algorithm)
    assert octets(short.as_dict()["x"]) == size - 1
    assert octets(right.as_dict()["x"]) == octets(json.loads(other.export_public())["x"]) == size
    assert right.thumbprint() == other.thumbprint() == again.thumbprint() != short.thumbprint()
    assert refused
short = sum(
    min(octets(v) for k, v in authlib.jose.ECKey.import_key(public(SIZES["P-521"][0], d).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)).as_dict().items() if k in "xy") < 66
    for d in range(1, 201))
print(f"of 200 keys of P-521, {short} are short")
assert 120 <= short <= 180
PY
