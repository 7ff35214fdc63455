package import Foundation
import Lab
package import NIOSSL

/// A certificate authority that lives for one test, with the two sides of TLS.
package struct TestAuthority: Sendable {
    private let authority: LabPKI

    package var certificatePEM: String { authority.authorityPEM }

    package init(_ commonName: String = "test authority") throws {
        authority = try LabPKI(name: commonName)
    }

    /// A certificate for 127.0.0.1 and `names` that serves as either side's, for `lifetime` seconds from now. Tests tell
    /// certificates apart by their `serial`.
    package func issue(
        _ commonName: String, serial: UInt8, names: [String] = [], lifetime: TimeInterval = 600
    ) throws -> TestIdentity {
        let issued = try authority.peer(
            commonName: commonName, organizations: ["system:nodes"], hosts: ["127.0.0.1"] + names, serialNumber: serial,
            notAfter: Date(timeIntervalSinceNow: lifetime))
        return TestIdentity(certificatePEM: issued.certificatePEM, privateKeyPEM: issued.privateKeyPEM)
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
