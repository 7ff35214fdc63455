#!/bin/bash
# One key that a library does not know makes it refuse the whole key set, or the tokens of the other keys.
#
# Versions: joserfc 1.8.0, Authlib 1.9.10, python-jose 3.5.0, PyJWT 2.15.1, jwcrypto 1.6.1, cryptography 50.0.2 (PyPI).
# Expected: a verifier finds the token's key by `kid` and passes over the others: keys with a `kty` that is not understood, or with
#           values out of range, SHOULD be ignored (RFC 7517, section 5); other values of `use` than sig and enc MAY be used
#           (section 4.2), and a SPIFFE bundle has x509-svid (SPIFFE Trust Domain and Bundle, section 4.2). PyJWT and jwcrypto do so.
# Seen:     the same token and the same key, with one more key in front of it.
#           joserfc refuses the set for `use` x509-svid, for an unknown `key_ops`, and (KeyError) for an unknown curve.
#           Authlib refuses the set (KeyError) for a key of type AKP (ML-DSA), wherever it stands.
#           python-jose does not look at `kid` at all: it tries the keys in their order, and raises at the first one of another type,
#           an ordinary RSA key as well. Behind the token's own key all of them are harmless to it.
# So what:  an issuer that adds an elliptic or post-quantum key beside its RSA key, and one that publishes its SPIFFE bundle as jwks_uri,
#           loses some of its verifiers at once, though it signs as before. Keep the two kinds of SPIFFE keys in separate documents; try
#           a new key type with the verifiers that there are.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check joserfc==1.8.0 authlib==1.9.10 python-jose==3.5.0 pyjwt==2.15.1 \
    jwcrypto==1.6.1 cryptography==50.0.2
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" -W ignore - <<'PY'
import json, time

import jwt as pyjwt
from authlib.jose import JsonWebKey, JsonWebToken
from jose import jwt as python_jose
from joserfc import jwt as joserfc
from joserfc.jwk import ECKey, KeySet, RSAKey
from jwcrypto import jwk, jwt as jwcrypto

ALGORITHM = "ES256"


def public(key, **members):
    return {**key.as_dict(private=False), **members}


pair = ECKey.generate_key("P-256")
own = public(pair, kid="own", use="sig")
claims = {"sub": "spiffe://test.example/shop", "aud": "vault", "exp": int(time.time()) + 300}
token = joserfc.encode({"alg": ALGORITHM, "kid": "own"}, claims, pair)
other = public(ECKey.generate_key("P-256"), kid="other")
EXTRA = {
    "x509-svid": {**other, "use": "x509-svid"},
    "key_ops": {**other, "key_ops": ["attest"]},
    "curve": {**other, "crv": "brainpoolP256r1"},
    "ML-DSA": {"kty": "AKP", "alg": "ML-DSA-44", "pub": "A" * 1750, "kid": "other"},
    "RSA": public(RSAKey.generate_key(2048), kid="other", use="sig"),
}
VERIFIERS = {
    "joserfc": lambda keys: joserfc.decode(token, KeySet.import_key_set(keys), algorithms=[ALGORITHM]).claims,
    "Authlib": lambda keys: JsonWebToken([ALGORITHM]).decode(token, JsonWebKey.import_key_set(keys)),
    "python-jose": lambda keys: python_jose.decode(token, keys, algorithms=[ALGORITHM], audience="vault"),
    "PyJWT": lambda keys: pyjwt.decode(token, pyjwt.PyJWKSet.from_dict(keys)["own"], algorithms=[ALGORITHM], audience="vault"),
    "jwcrypto": lambda keys: json.loads(jwcrypto.JWT(jwt=token, key=jwk.JWKSet.from_json(json.dumps(keys)), expected_type="JWS").claims),
}


def refused_by(*keys):
    """The libraries that do not verify the token by this set, with what each raises."""
    refusals = {}
    for name, verify in VERIFIERS.items():
        try:
            assert dict(verify({"keys": list(keys)}))["sub"] == claims["sub"]
        except Exception as error:
            refusals[name] = type(error).__name__
    return refusals


seen = {kind: refused_by(key, own) for kind, key in EXTRA.items()}
behind = {kind: refused_by(own, key) for kind, key in EXTRA.items()}
for kind in EXTRA:
    print(f"{kind:>9} in front: {seen[kind]}; behind: {behind[kind]}")
assert refused_by(own) == {}, "the token is good"
assert seen == {
    "x509-svid": {"joserfc": "KeyParameterError"},
    "key_ops": {"joserfc": "KeyParameterError"},
    "curve": {"joserfc": "KeyError", "python-jose": "KeyError"},
    "ML-DSA": {"Authlib": "KeyError", "python-jose": "JWKError"},
    "RSA": {"python-jose": "JWKError"},
}, "a library behaves differently now"
without = {kind: {name: error for name, error in refusals.items() if name != "python-jose"} for kind, refusals in seen.items()}
assert behind == without, "a library behaves differently now"
PY
