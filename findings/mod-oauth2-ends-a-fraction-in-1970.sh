#!/bin/bash
# Apache's mod_oauth2 takes a token's end for the year 1970 where Python wrote it with a fraction.
#
# Versions: libapache2-mod-oauth2 3.3.1-1, liboauth2-0 1.4.5.4-1, libapache2-mod-auth-openidc 2.4.12.3-2+deb12u5, Apache 2.4 (Debian 12);
#           PyJWT 2.15.1, joserfc 1.8.0, python-jose 3.5.0, jwcrypto 1.6.1, cryptography 50.0.2 (PyPI).
#           mod_oauth2 4.0.0 (Debian 13) and 4.2.0 (sid) did the same when they were tried.
# Expected: exp is a NumericDate, in which "non-integer values can be represented" (RFC 7519, section 2), and 1796065615.0 is the same JSON
#           number as 1796065615 to most readers. All four libraries write the time.time() + 300 that they are given as it is, and read it.
# Seen:     401 for such a token, and "JWT expired 1796065615 seconds ago" in the error log: the module reads the number as 0. The end
#           without its fraction is welcome. mod_auth_openidc, the older module of the same project, takes both. There it was repaired in
#           2016 (OpenIDC/mod_auth_openidc#187); its log sends users to mod_oauth2.
# So what:  a service that signs its tokens with int(time.time()), or a datetime, is understood everywhere; podidentd writes integers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
mkdir packages root
(cd packages && apt-get -qq -o APT::Sandbox::User=root download libapache2-mod-oauth2=3.3.1-1 liboauth2-0=1.4.5.4-1 \
    liboauth2-apache0=1.4.5.4-1 libapache2-mod-auth-openidc=2.4.12.3-2+deb12u5 apache2-bin libcjose0 libhiredis0.14 libmemcached11 \
    libhashkit2 libapr1 libaprutil1 libjansson4 libcurl4 libpcre2-8-0)
for package in packages/*.deb; do dpkg-deb -x "$package" root; done
export LD_LIBRARY_PATH=$folder/root/usr/lib/x86_64-linux-gnu
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check PyJWT==2.15.1 joserfc==1.8.0 python-jose==3.5.0 jwcrypto==1.6.1 \
    cryptography==50.0.2
echo secret > word
cat > run.py <<'PY'
import http.server, json, pathlib, socket, subprocess, sys, threading, time, urllib.error, urllib.request

import joserfc.jwk, joserfc.jwt, jose.jwt, jwcrypto.jwk, jwcrypto.jwt, jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

folder = sys.argv[1]
pair = rsa.generate_private_key(public_exponent=65537, key_size=2048)
private = pair.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
public = pair.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
pathlib.Path("public.pem").write_bytes(public)
HEADER = {"alg": "RS256", "kid": "a"}


def by_jwcrypto(claims):
    token = jwcrypto.jwt.JWT(header=HEADER, claims=claims)
    token.make_signed_token(jwcrypto.jwk.JWK.from_pem(private))
    return token.serialize()


WRITERS = {
    "PyJWT": lambda claims: jwt.encode(claims, private, "RS256", HEADER),
    "joserfc": lambda claims: joserfc.jwt.encode(HEADER, claims, joserfc.jwk.RSAKey.import_key(private)),
    "python-jose": lambda claims: jose.jwt.encode(claims, private.decode(), "RS256", HEADER),
    "jwcrypto": by_jwcrypto,
}
READERS = {
    "PyJWT": lambda token: jwt.decode(token, public, ["RS256"]),
    "joserfc": lambda token: joserfc.jwt.JWTClaimsRegistry().validate(
        joserfc.jwt.decode(token, joserfc.jwk.RSAKey.import_key(public)).claims),
    "python-jose": lambda token: jose.jwt.decode(token, public.decode(), ["RS256"]),
    "jwcrypto": lambda token: jwcrypto.jwt.JWT(jwt=token, key=jwcrypto.jwk.JWK.from_pem(public), expected_type="JWS"),
}


class Keys(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(pair.public_key()))
        body = json.dumps({"keys": [{**key, "kid": "a", "use": "sig"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


keys = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
threading.Thread(target=keys.serve_forever, daemon=True).start()
with socket.create_server(("127.0.0.1", 0)) as probe:
    port = probe.getsockname()[1]
modules = ["mpm_event", "authn_core", "authz_core", "authz_user", "alias", "oauth2", "auth_openidc"]
pathlib.Path("httpd.conf").write_text(
    "".join(f"LoadModule {name}_module {folder}/root/usr/lib/apache2/modules/mod_{name}.so\n" for name in modules)
    + f"ServerName localhost\nServerRoot {folder}\nPidFile {folder}/pid\nListen 127.0.0.1:{port}\nErrorLog {folder}/error.log\n"
    f"User www-data\nGroup www-data\nDocumentRoot {folder}\nAlias /oauth2 {folder}/word\nAlias /oauth20 {folder}/word\n"
    f"<Location /oauth2>\nAuthType oauth2\nOAuth2TokenVerify jwks_uri http://127.0.0.1:{keys.server_port}/\n"
    "Require valid-user\n</Location>\n"
    f"OIDCOAuthVerifyCertFiles a#{folder}/public.pem\nOIDCCryptoPassphrase example\n"
    "<Location /oauth20>\nAuthType oauth20\nRequire valid-user\n</Location>\n")
server = subprocess.Popen([folder + "/root/usr/sbin/apache2", "-D", "FOREGROUND", "-f", folder + "/httpd.conf"])


def ask(place, token):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{place}", headers={"Authorization": "Bearer " + token})
    for _ in range(100):
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except urllib.error.URLError:
            time.sleep(0.1)


now = int(time.time())
try:
    for name, write in WRITERS.items():
        for end in (now + 300, now + 300.5, now + 300.0):
            token = write({"sub": "shop", "iat": now, "exp": end})
            kind = "an integer" if isinstance(end, int) else f"a number that ends in .{str(end).split('.')[1]}"
            for read in READERS.values():
                read(token)
            print(f"{name}, exp is {kind}: mod_oauth2 {ask('oauth2', token)}, mod_auth_openidc {ask('oauth20', token)}")
finally:
    server.terminate()
    server.wait()
PY
seen=$(env -u http_proxy -u https_proxy -u HTTP_PROXY -u HTTPS_PROXY venv/bin/python -W ignore run.py "$folder")
echo "$seen"
grep -om1 'JWT expired [0-9]* seconds ago' error.log
for name in PyJWT joserfc python-jose jwcrypto; do
    echo "$name, exp is an integer: mod_oauth2 200, mod_auth_openidc 200"
    for ending in 5 0; do echo "$name, exp is a number that ends in .$ending: mod_oauth2 401, mod_auth_openidc 200"; done
done > expected
diff expected - <<< "$seen"
# Some fifty years: the number was read as 0.
grep -q 'JWT expired 1[0-9]\{9\} seconds ago' error.log
