#!/bin/bash
# async-aws (PHP) knows only version 1 of EC2's instance metadata service.
#
# Versions: php-async-aws-core 1.18.1-1 (Debian 12).
# Expected: as every SDK of AWS since 2019, it first fetches a session token with a PUT, and sends it with what it asks.
# Seen:     its first request is GET /latest/meta-data/iam/security-credentials, without a token. Where version 2 is required (401),
#           its chain ends without credentials and without a word; with version 1 it has them after two requests.
# So what:  an instance metadata service that serves version 2 alone serves no program that is written with async-aws.
# The address is built in: the server listens at it, in a network namespace of its own. Needs php-cli and php-curl.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
version=1.18.1-1
dpkg-query -W -f '${Version}' php-async-aws-core 2> /dev/null | grep -qx "$version" ||
    apt-get install -y -qq --no-install-recommends "php-async-aws-core=$version" php-cli php-curl > /dev/null
cat > "$folder/chain.php" <<'PHP'
<?php
require '/usr/share/php/AsyncAws/Core/autoload.php';
$chain = AsyncAws\Core\Credentials\ChainProvider::createDefaultChain();
$credentials = $chain->getCredentials(AsyncAws\Core\Configuration::create(['region' => 'eu-west-1']));
echo null === $credentials ? "none\n" : $credentials->getAccessKeyId() . "\n";
PHP
cat > "$folder/servers.py" <<'PY'
import http.server, json, subprocess, sys, threading

needs_token = True
seen = []


class Metadata(http.server.BaseHTTPRequestHandler):
    def do_PUT(self):
        self.answer(200, b"token")

    def do_GET(self):
        if needs_token and not self.headers.get("X-aws-ec2-metadata-token"):
            self.answer(401, b"")
        elif self.path.endswith("/reader"):
            self.answer(200, json.dumps({
                "Code": "Success", "AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "secret", "Token": "token",
                "Expiration": "2099-01-01T00:00:00Z"}).encode())
        else:
            self.answer(200, b"reader")

    def answer(self, status, body):
        seen.append(f"{self.command} {self.path} -> {status}")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


threading.Thread(target=http.server.ThreadingHTTPServer(("169.254.169.254", 80), Metadata).serve_forever, daemon=True).start()
outcomes = {}
for needs_token in (True, False):
    seen.clear()
    outcomes[needs_token] = subprocess.run(["php", sys.argv[1]], capture_output=True, text=True).stdout.strip()
    print("version 2 required:" if needs_token else "version 1 served:", outcomes[needs_token], *seen, sep="\n  ")
    assert not any(line.startswith("PUT") for line in seen), "async-aws behaves differently now: it asks for a token"
assert outcomes == {True: "none", False: "ASIAEXAMPLE"}, "async-aws behaves differently now"
PY
env -i PATH="$PATH" HOME="$folder" unshare --net sh -c \
    'ip link set lo up && ip addr add 169.254.169.254/32 dev lo && exec "$@"' sh \
    python3 "$folder/servers.py" "$folder/chain.php"
