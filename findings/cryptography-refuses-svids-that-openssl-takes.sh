#!/bin/bash
# cryptography's verifier takes an X.509-SVID for a web site's certificate, and refuses what OpenSSL and pyHanko accept.
#
# Versions: cryptography 50.0.2, pyhanko-certvalidator 0.33.0 (PyPI); OpenSSL 3.0 (Debian 12: openssl).
# Expected: a workload's certificate with a SPIFFE ID is verified by RFC 5280, as the SPIFFE X509-SVID standard refers to it. A subject
#           beside a critical subject alternative name is against a SHOULD there (section 4.2.1.6), and no reason to refuse; URI name
#           constraints are defined (section 4.2.1.10), and this one permits the SPIFFE ID's trust domain.
# Seen:     build_client_verifier() checks the profile of the CA/Browser Forum, also for clients. With a subject and a critical alternative
#           name it says "EE subjectAltName MUST NOT be critical when subject is nonempty". Below a CA with any URI name constraint every
#           certificate is refused: "unsupported name constraint". The same with an empty subject, or an alternative name that is
#           not critical, and a CA without a constraint, is accepted, and its URI is returned.
# So what:  a signer of SVIDs marks the alternative name as critical where there is no subject, and only there; an intermediate that is
#           bound to a trust domain by a constraint keeps out every verifier that is written with cryptography.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check cryptography==50.0.2 pyhanko-certvalidator==0.33.0
key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc)
openssl req -x509 "${key[@]}" -days 2 -subj /O=root -addext keyUsage=critical,keyCertSign -keyout root.key -out root.pem 2> openssl.log
# $1: the file's name, $2: the subject, $3: the issuer's file, the rest: extensions.
issue() {
    openssl req -new "${key[@]}" -subj "$2" -keyout "$1.key" -out "$1.csr" 2> openssl.log
    printf '%s\n' subjectKeyIdentifier=hash authorityKeyIdentifier=keyid "${@:4}" > extensions
    openssl x509 -req -in "$1.csr" -CA "$3.pem" -CAkey "$3.key" -days 1 -extfile extensions -out "$1.pem" 2> openssl.log
}
authority=(basicConstraints=critical,CA:TRUE,pathlen:0 keyUsage=critical,keyCertSign)
workload=(basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature extendedKeyUsage=serverAuth,clientAuth)
spiffe=URI:spiffe://shop.example/ns/web/sa/web
issue free /O=free root "${authority[@]}"
issue bound /O=bound root "${authority[@]}" "nameConstraints=critical,permitted;URI:shop.example"
for ca in free bound; do
    issue "$ca-none" / "$ca" "${workload[@]}" "subjectAltName=critical,$spiffe"
    issue "$ca-plain" /O=shop "$ca" "${workload[@]}" "subjectAltName=$spiffe"
    issue "$ca-critical" /O=shop "$ca" "${workload[@]}" "subjectAltName=critical,$spiffe"
done
venv/bin/python - <<'PY'
import asyncio, pathlib, subprocess

from asn1crypto import pem, x509 as asn1
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from pyhanko_certvalidator import CertificateValidator, ValidationContext


def read(name):
    return pathlib.Path(f"{name}.pem").read_bytes()


def use_cryptography(leaf, ca):
    root, issuer, certificate = (x509.load_pem_x509_certificate(read(name)) for name in ("root", ca, leaf))
    try:
        return PolicyBuilder().store(Store([root])).build_client_verifier().verify(certificate, [issuer]).subjects[0].value
    except VerificationError as error:
        return str(error)


def use_pyhanko(leaf, ca):
    root, issuer, certificate = (asn1.Certificate.load(pem.unarmor(read(name))[2]) for name in ("root", ca, leaf))
    context = ValidationContext(trust_roots=[root], other_certs=[issuer], revocation_mode="soft-fail")
    asyncio.run(CertificateValidator(certificate, validation_context=context).async_validate_usage({"digital_signature"}))


accepted = "spiffe://shop.example/ns/web/sa/web"
not_critical = "EE subjectAltName MUST NOT be critical when subject is nonempty"
unsupported = "unsupported name constraint"
expected = {
    "free-none": accepted, "free-plain": accepted, "free-critical": not_critical,
    "bound-none": unsupported, "bound-plain": unsupported, "bound-critical": not_critical,
}
for leaf, wanted in expected.items():
    ca = leaf.split("-")[0]
    subprocess.run(
        ["openssl", "verify", "-purpose", "sslclient", "-CAfile", "root.pem", "-untrusted", f"{ca}.pem", f"{leaf}.pem"], check=True)
    use_pyhanko(leaf, ca)
    said = use_cryptography(leaf, ca)
    print(f"    cryptography: {said}")
    assert wanted in said, "cryptography behaves differently now"
PY
