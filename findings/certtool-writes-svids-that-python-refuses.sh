#!/bin/bash
# certtool of GnuTLS writes SVIDs without a subject that Python refuses from version 3.13 on.
#
# Versions: gnutls-bin 3.7.9-2+deb12u7 (Debian 12), OpenSSL 3.0 (Debian 12: openssl), any Python. certtool 3.8.9 and 3.8.13, and pki of
#           strongSwan 6.0.1 and 6.1.0, wrote the same when they were tried. Python 3.13.5 of Debian 13 refused it.
# Expected: an X.509-SVID needs no subject, for its URI says whose it is (SPIFFE X509-SVID, section 2). Then "the issuing CA MUST include
#           a subjectAltName extension that is marked as critical" (RFC 5280, section 4.2.1.6). Go's library does that by itself.
# Seen:     the alternative name is not critical, and a template cannot say that it be, other than by the extension's bytes. certtool
#           verifies the certificate, and OpenSSL does unless it is told to be strict. Since 3.13 Python tells it so: its
#           create_default_context() sets VERIFY_X509_STRICT. With that flag, which is set by hand here, the handshake ends: "Subject
#           empty and Subject Alt Name extension not critical". With any subject (organization = ...) the certificate is taken.
# So what:  an authority that is kept with certtool works until the first workload gets an image with a newer Python. Its templates for
#           SVIDs have a subject.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download gnutls-bin=3.7.9-2+deb12u7 libgnutls30=3.7.9-2+deb12u7 libffi8 libgmp10 libhogweed6 \
    libidn2-0 libnettle8 libp11-kit0 libtasn1-6 libunistring2
for package in *.deb; do dpkg-deb -x "$package" packages; done
libraries=$folder/packages/usr/lib/$(uname -m)-linux-gnu:$folder/packages/lib/$(uname -m)-linux-gnu
certtool() { LD_LIBRARY_PATH=$libraries packages/usr/bin/certtool "$@" 2>> log || { cat log; false; }; }
cat > ca.cfg <<'CFG'
organization = "a.example"
uri = "spiffe://a.example"
ca
cert_signing_key
expiration_days = 30
CFG
cat > svid.cfg <<'CFG'
uri = "spiffe://a.example/ns/shop/sa/web"
signing_key
tls_www_client
tls_www_server
expiration_days = 1
CFG
sed '1i organization = "workloads"' svid.cfg > subject.cfg
for name in ca svid subject; do
    certtool --generate-privkey --key-type=ecdsa --curve=secp256r1 --no-text --outfile=$name.key
done
certtool --generate-self-signed --load-privkey=ca.key --template=ca.cfg --outfile=ca.pem
for name in svid subject; do
    certtool --generate-certificate --load-privkey=$name.key --load-ca-certificate=ca.pem --load-ca-privkey=ca.key --template=$name.cfg \
        --outfile=$name.pem
    certtool --verify --load-ca-certificate=ca.pem --infile=$name.pem | grep "The certificate is trusted"
    openssl x509 -in $name.pem -noout -subject -ext subjectAltName
    openssl verify -CAfile ca.pem $name.pem
done
cat > try.py <<'PY'
import socket, ssl, subprocess, threading

EMPTY = "Subject empty and Subject Alt Name extension not critical"


def handshake(name, strict):
    """What a client in Python says of the server's certificate."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(name + ".pem", name + ".key")
    client = ssl.create_default_context(cafile="ca.pem")
    client.check_hostname = False
    # Python 3.13 and later set the flag by themselves.
    client.verify_flags = client.verify_flags | ssl.VERIFY_X509_STRICT if strict else client.verify_flags & ~ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()

    def serve():
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(ours) as connection:
            return connection.getpeercert()["subjectAltName"][0][1]
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    finally:
        ours.close()
        thread.join()


seen = {(name, strict): handshake(name, strict) for name in ("svid", "subject") for strict in (False, True)}
print(seen)
taken = "spiffe://a.example/ns/shop/sa/web"
assert seen == {("svid", False): taken, ("svid", True): EMPTY, ("subject", False): taken, ("subject", True): taken}, "it is taken now"
by_openssl = subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", "ca.pem", "svid.pem"], capture_output=True, text=True)
assert by_openssl.returncode and EMPTY in by_openssl.stderr, by_openssl
PY
python3 try.py
