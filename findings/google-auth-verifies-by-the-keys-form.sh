#!/bin/bash
# google-auth verifies one token by two sets of rules: by one where the key comes as a certificate, by another where it comes as a JWK.
#
# Versions: google-auth 2.63.0, requests 2.34.2, PyJWT 2.15.1, cryptography 50.0.2 (PyPI).
# Expected: id_token.verify_token(token, request, audience, certs_url, clock_skew_in_seconds) takes both forms of keys. It is described so:
#           without an audience "the audience is not verified", and the clock skew is "used for `iat` and `exp` validation". aud may be
#           a list, and iat may be absent (RFC 7519, sections 4.1.3 and 4.1.6). Its callers are promised GoogleAuthError or ValueError.
# Seen:     with certificates a token whose aud is a list is refused ("wrong audience ['shop'], expected one of ['shop']"), and so is one
#           without iat; with JWKs both are good. With JWKs the clock skew is ignored, and without an audience each token that has one
#           is refused; with certificates both are as described. The errors are PyJWT's own with JWKs, and neither of the two.
# So what:  Kubernetes always writes aud as a list, and its keys as JWKs; JWT-SVIDs need no iat. Google publishes its own keys in both
#           forms (oauth2/v1/certs and v3/certs), so that the URL decides. A handler of refusals catches jwt.PyJWTError as well.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check google-auth==2.63.0 requests==2.34.2 PyJWT==2.15.1 cryptography==50.0.2
cat > "$folder/try.py" <<'PY'
import datetime, http.server, json, threading, time

import google.auth.exceptions, google.auth.transport.requests, google.oauth2.id_token, jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
now = int(time.time())
begin = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
name = x509.Name([])
certificate = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1).not_valid_before(
    begin).not_valid_after(begin + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
FORMS = {
    "certificates": {"a": certificate.public_bytes(serialization.Encoding.PEM).decode()},
    "JWKs": {"keys": [{**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": "a", "alg": "RS256", "use": "sig"}]},
}


class Keys(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(FORMS[self.path[1:]]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
threading.Thread(target=server.serve_forever, daemon=True).start()
request = google.auth.transport.requests.Request()
CLAIMS = {"iss": "https://issuer.example", "sub": "system:serviceaccount:shop:web", "aud": "shop", "iat": now, "exp": now + 600}
CASES = {
    "aud is a string, iat is there": (CLAIMS, "shop", 0),
    "aud is a list": ({**CLAIMS, "aud": ["shop"]}, "shop", 0),
    "no iat": ({claim: value for claim, value in CLAIMS.items() if claim != "iat"}, "shop", 0),
    "no audience is asked for": (CLAIMS, None, 0),
    "iat 30 s ahead, a skew of 60 s": ({**CLAIMS, "iat": now + 30}, "shop", 60),
    "exp 30 s ago, a skew of 60 s": ({**CLAIMS, "exp": now - 30, "iat": now - 600}, "shop", 60),
}


def verdict(claims, audience, skew, form):
    token = jwt.encode(claims, key, "RS256", {"kid": "a"})
    try:
        google.oauth2.id_token.verify_token(token, request, audience, f"http://127.0.0.1:{server.server_port}/{form}", skew)
        return "good"
    except (google.auth.exceptions.GoogleAuthError, ValueError) as error:
        return f"refused, {type(error).__name__}"
    except jwt.PyJWTError as error:
        return f"refused, {type(error).__name__} of PyJWT"


for title, case in CASES.items():
    print(f"{title}: " + "; ".join(f"{form}: {verdict(*case, form)}" for form in FORMS))
PY
seen=$(env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" "$folder/try.py")
echo "$seen"
diff - <(echo "$seen") <<'END'
aud is a string, iat is there: certificates: good; JWKs: good
aud is a list: certificates: refused, InvalidValue; JWKs: good
no iat: certificates: refused, MalformedError; JWKs: good
no audience is asked for: certificates: good; JWKs: refused, InvalidAudienceError of PyJWT
iat 30 s ahead, a skew of 60 s: certificates: good; JWKs: refused, ImmatureSignatureError of PyJWT
exp 30 s ago, a skew of 60 s: certificates: good; JWKs: refused, ExpiredSignatureError of PyJWT
END
