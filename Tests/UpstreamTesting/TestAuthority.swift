import Crypto
package import Foundation
package import NIOSSL
import SwiftASN1
import X509

/// A certificate authority that lives for one test.
package struct TestAuthority: Sendable {
    package let certificatePEM: String
    private let key = P256.Signing.PrivateKey()
    private let name: DistinguishedName

    package init(_ commonName: String = "test authority") throws {
        name = try DistinguishedName { CommonName(commonName) }
        let certificate = try Certificate(
            version: .v3,
            serialNumber: .init(),
            publicKey: .init(key.publicKey),
            notValidBefore: .now - 60,
            notValidAfter: .now + 3600,
            issuer: name,
            subject: name,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))
                Critical(KeyUsage(keyCertSign: true))
            },
            issuerPrivateKey: .init(key)
        )
        certificatePEM = try certificate.serializeAsPEM().pemString
    }

    /// A certificate for 127.0.0.1 and `names` that serves as either side's, for `lifetime` seconds from now. Tests tell
    /// certificates apart by their `serial`.
    package func issue(
        _ commonName: String, serial: UInt8, names: [String] = [], lifetime: TimeInterval = 600
    ) throws -> TestIdentity {
        let key = P256.Signing.PrivateKey()
        let certificate = try Certificate(
            version: .v3,
            serialNumber: .init(bytes: [serial]),
            publicKey: .init(key.publicKey),
            notValidBefore: .now - 60,
            notValidAfter: .now + lifetime,
            issuer: name,
            subject: try DistinguishedName {
                OrganizationName("system:nodes")
                CommonName(commonName)
            },
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: Certificate.Extensions {
                try ExtendedKeyUsage([.serverAuth, .clientAuth])
                SubjectAlternativeNames(
                    [.ipAddress(ASN1OctetString(contentBytes: [127, 0, 0, 1]))] + names.map { .dnsName($0) }
                )
            },
            issuerPrivateKey: .init(self.key)
        )
        return TestIdentity(
            certificatePEM: try certificate.serializeAsPEM().pemString, privateKeyPEM: key.pemRepresentation
        )
    }

    /// The server side of TLS for 127.0.0.1 and `names`; if it `asksForClient`, clients must show a certificate of this
    /// authority.
    package func serverConfiguration(names: [String] = [], asksForClient: Bool = false) throws -> TLSConfiguration {
        let identity = try issue("server", serial: 1, names: names)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: try identity.certificates.map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(identity.privateKeyPEM.utf8), format: .pem))
        )
        if asksForClient {
            configuration.certificateVerification = .noHostnameVerification
            configuration.trustRoots = try trustRoots
        }
        return configuration
    }

    /// The client side of TLS that trusts this authority alone.
    package func clientConfiguration() throws -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = try trustRoots
        return configuration
    }

    private var trustRoots: NIOSSLTrustRoots {
        get throws { .certificates(try NIOSSLCertificate.fromPEMBytes(Array(certificatePEM.utf8))) }
    }
}

/// A certificate and its key, as PEM.
package struct TestIdentity: Sendable {
    package var certificatePEM: String
    package var privateKeyPEM: String

    package var certificates: [NIOSSLCertificate] {
        get throws { try NIOSSLCertificate.fromPEMBytes(Array(certificatePEM.utf8)) }
    }
}
