#!/bin/bash
# Apache's mod_oauth2 leaves out the keys of a SPIFFE bundle, because their use is "jwt-svid".
#
# Versions: libapache2-mod-oauth2 3.3.1-1, liboauth2-0 1.4.5.4-1, Apache 2.4 (Debian 12), PyJWT 2.15.1, cryptography 50.0.2 (PyPI).
# Expected: "use" says what a key is for, and values other than "sig" and "enc" may be used (RFC 7517, section 4.2). A SPIFFE bundle is
#           a JWK set whose keys for JWT-SVIDs must say "jwt-svid" (SPIFFE Trust Domain and Bundle, section 4.2.2), so that a
#           verifier that is told to take its keys from there verifies with them.
# Seen:     401 for a token that a key of use "jwt-svid" has signed, with no word in the error log; debug says "skipping key because of
#           non-matching use". The same key with use "sig", or without use, verifies the same token.
# So what:  who signs JWT-SVIDs publishes the keys twice: in the bundle, and as an OpenID key set with use "sig".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
mkdir packages root htdocs
(cd packages && apt-get -qq -o APT::Sandbox::User=root download libapache2-mod-oauth2=3.3.1-1 \
    liboauth2-0=1.4.5.4-1 liboauth2-apache0=1.4.5.4-1 apache2-bin libcjose0 libhiredis0.14 libmemcached11 libhashkit2 libapr1 \
    libaprutil1 libjansson4 libcurl4 libpcre2-8-0)
for package in packages/*.deb; do dpkg-deb -x "$package" root; done
export LD_LIBRARY_PATH=$folder/root/usr/lib/x86_64-linux-gnu
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check PyJWT==2.15.1 cryptography==50.0.2
echo secret > htdocs/word
cat > run.py <<'PY'
import http.server, json, subprocess, sys, threading, time, urllib.error, urllib.request
import jwt
from cryptography.hazmat.primitives.asymmetric import ec

folder = sys.argv[1]
key = ec.generate_private_key(ec.SECP256R1())
public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
uses = {"jwt-svid": "jwt-svid", "sig": "sig", "none": None}


class Keys(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        use = uses[self.path[1:]]
        body = json.dumps({"keys": [{**public, "kid": "a", **({"use": use} if use else {})}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


keys = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
threading.Thread(target=keys.serve_forever, daemon=True).start()
probe = http.server.HTTPServer(("127.0.0.1", 0), Keys)
port = probe.server_port
probe.server_close()
modules = folder + "/root/usr/lib/apache2/modules"
names = ["mpm_event", "authn_core", "authz_core", "authz_user", "alias", "oauth2"]
with open("httpd.conf", "w") as file:
    for name in names:
        file.write(f"LoadModule {name}_module {modules}/mod_{name}.so\n")
    file.write(f"ServerName localhost\nServerRoot {folder}\nPidFile {folder}/pid\nListen 127.0.0.1:{port}\n"
               f"ErrorLog {folder}/error.log\nUser www-data\nGroup www-data\nDocumentRoot {folder}/htdocs\n")
    for name in uses:
        file.write(f"Alias /{name} {folder}/htdocs/word\n<Location /{name}>\nAuthType oauth2\n"
                   f"OAuth2TokenVerify jwks_uri http://127.0.0.1:{keys.server_port}/{name}\n"
                   "Require oauth2_claim sub:spiffe://a.example/b\n</Location>\n")
server = subprocess.Popen([folder + "/root/usr/sbin/apache2", "-D", "FOREGROUND", "-f", folder + "/httpd.conf"])
now = int(time.time())
seen = {}
try:
    for name in uses:
        # A token of its own each: the module remembers those that it has verified.
        token = jwt.encode({"sub": "spiffe://a.example/b", "aud": [name], "iat": now, "exp": now + 300}, key, "ES256", {"kid": "a"})
        request = urllib.request.Request(f"http://127.0.0.1:{port}/{name}", headers={"Authorization": "Bearer " + token})
        for _ in range(100):
            try:
                with urllib.request.urlopen(request) as answer:
                    seen[name] = answer.status
                break
            except urllib.error.HTTPError as error:
                seen[name] = error.code
                break
            except urllib.error.URLError:
                time.sleep(0.1)
finally:
    server.terminate()
    server.wait()
print("statuses by the key's use:", seen)
assert seen == {"jwt-svid": 401, "sig": 200, "none": 200}
PY
env -u http_proxy -u https_proxy -u HTTP_PROXY -u HTTPS_PROXY venv/bin/python run.py "$folder"
