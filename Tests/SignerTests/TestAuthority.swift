import Crypto
import Foundation
import SwiftASN1
import X509

@testable import Signer
@testable import SpiffeIdentity

/// An authority of a test, with what a signer's folder holds.
struct TestAuthority {
    let key = P256.Signing.PrivateKey()
    let certificate: Certificate
    let authority: SigningAuthority

    init(
        name: String = "test root", until notAfter: Date = Date(timeIntervalSinceNow: 86_400 * 30),
        isAuthority: Bool = true
    ) throws {
        let subject = try DistinguishedName { CommonName(name) }
        let publicKey = Certificate.PublicKey(key.publicKey)
        certificate = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: publicKey,
            notValidBefore: Date(timeIntervalSinceNow: -3600), notValidAfter: notAfter, issuer: subject,
            subject: subject,
            extensions: Certificate.Extensions {
                Critical(
                    isAuthority
                        ? BasicConstraints.isCertificateAuthority(maxPathLength: nil) : .notCertificateAuthority)
                // A test presents it as a server's, too.
                Critical(KeyUsage(digitalSignature: true, keyCertSign: true))
                SubjectKeyIdentifier(hash: publicKey)
            },
            issuerPrivateKey: Certificate.PrivateKey(key))
        authority = try SigningAuthority(
            chainPEM: try certificate.serializeAsPEM().pemString, keyPEM: key.pemRepresentation)
    }

    /// An intermediate authority that this one has signed, in PEM with its key.
    func intermediate(name: String = "test intermediate") throws -> (chainPEM: String, keyPEM: String) {
        let own = P256.Signing.PrivateKey()
        let issued = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(),
            publicKey: Certificate.PublicKey(own.publicKey), notValidBefore: Date(timeIntervalSinceNow: -3600),
            notValidAfter: Date(timeIntervalSinceNow: 86_400), issuer: certificate.subject,
            subject: try DistinguishedName { CommonName(name) },
            extensions: Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true))
            },
            issuerPrivateKey: Certificate.PrivateKey(key))
        return (try issued.serializeAsPEM().pemString, own.pemRepresentation)
    }

    var pem: String { get throws { try certificate.serializeAsPEM().pemString + "\n" } }
    var der: [UInt8] { authority.der }

    func bundle(_ domain: TrustDomain, keys: [TrustBundle.Key] = []) -> TrustBundle {
        TrustBundle(trustDomain: domain, authorities: [der], keys: keys)
    }
}

let testDomain = known(TrustDomain("test.example"))
let testID = known(SpiffeID("spiffe://test.example/ns/shop/sa/web"))

/// A signing request that a careful client would not send.
func request(
    key: P256.Signing.PrivateKey = P256.Signing.PrivateKey(), subject: DistinguishedName = DistinguishedName(),
    attributes: CertificateSigningRequest.Attributes = .init()
) throws -> [UInt8] {
    let request = try CertificateSigningRequest(
        version: .v1, subject: subject, privateKey: Certificate.PrivateKey(key), attributes: attributes,
        signatureAlgorithm: .ecdsaWithSHA256)
    var serializer = DER.Serializer()
    try serializer.serialize(request)
    return serializer.serializedBytes
}

/// A value that a test has written down itself.
func known<Value>(_ value: Value?) -> Value {
    guard let value else { preconditionFailure("the test's own value is none") }
    return value
}
