import Crypto
package import Foundation
import SwiftASN1
package import X509

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A certificate authority of the lab (EC P-256) and what it issues.
///
/// A second instance is a foreign authority: no party trusts it.
package struct LabPKI: Sendable {
    /// A certificate with its key, in PEM.
    package struct Credential: Sendable {
        package var certificatePEM: String
        /// `EC PRIVATE KEY`, the form that the kubelet writes.
        package var privateKeyPEM: String
        package var certificate: Certificate

        /// Certificate and key in one text, as in `kubelet-client-current.pem`.
        package var bundlePEM: String { certificatePEM + privateKeyPEM }
    }

    /// The use of a certificate.
    package enum Usage: Sendable {
        case server
        case client

        fileprivate var extended: ExtendedKeyUsage.Usage {
            switch self {
            case .server: .serverAuth
            case .client: .clientAuth
            }
        }
    }

    /// Certificates are valid from two hours before their issue, so that a second of clock skew does no harm.
    private static let backdating: TimeInterval = 7200
    /// The authority outlives every certificate of a test or a demonstration.
    private static let authorityLifetime: TimeInterval = 10 * 365 * 86_400

    package let authority: Certificate
    package let authorityPEM: String
    private let authorityKey: P256.Signing.PrivateKey

    /// The authority's key, `EC PRIVATE KEY`.
    package var authorityKeyPEM: String { Self.sec1PEM(authorityKey) }

    /// Makes a new authority whose common name is `name`.
    package init(name: String = "podidentd lab") throws {
        let key = P256.Signing.PrivateKey()
        let subject = try DistinguishedName { CommonName(name) }
        let certificate = try Certificate(
            version: .v3,
            serialNumber: Certificate.SerialNumber(),
            publicKey: Certificate.PublicKey(key.publicKey),
            notValidBefore: Date(timeIntervalSinceNow: -Self.backdating),
            notValidAfter: Date(timeIntervalSinceNow: Self.authorityLifetime),
            issuer: subject,
            subject: subject,
            extensions: Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true))
                SubjectKeyIdentifier(hash: Certificate.PublicKey(key.publicKey))
            },
            issuerPrivateKey: Certificate.PrivateKey(key)
        )
        self.authorityKey = key
        self.authority = certificate
        self.authorityPEM = try certificate.serializeAsPEM().pemString + "\n"
    }

    /// A server certificate for DNS names and numeric addresses, valid for a year unless said otherwise.
    package func server(
        hosts: [String],
        notBefore: Date = Date(timeIntervalSinceNow: -backdating),
        notAfter: Date = Date(timeIntervalSinceNow: 365 * 86_400)
    ) throws -> Credential {
        let subject = try Self.subject(hosts.first ?? "lab", [])
        return try issue(
            subject: subject,
            usages: [.server],
            notBefore: notBefore,
            notAfter: notAfter,
            names: Self.names(hosts)
        )
    }

    /// A node's client certificate: `CN=system:node:NAME`, `O=system:nodes`, as the kubelet's.
    package func node(
        _ name: String,
        notBefore: Date = Date(timeIntervalSinceNow: -backdating),
        notAfter: Date = Date(timeIntervalSinceNow: 86_400),
        usage: Usage = .client
    ) throws -> Credential {
        try client(
            commonName: "system:node:\(name)",
            organizations: ["system:nodes"],
            notBefore: notBefore,
            notAfter: notAfter,
            usage: usage
        )
    }

    /// A client certificate for any user and groups, such as `system:masters`.
    package func client(
        commonName: String,
        organizations: [String],
        notBefore: Date = Date(timeIntervalSinceNow: -backdating),
        notAfter: Date = Date(timeIntervalSinceNow: 86_400),
        usage: Usage = .client
    ) throws -> Credential {
        let subject = try Self.subject(commonName, organizations)
        return try issue(subject: subject, usages: [usage], notBefore: notBefore, notAfter: notAfter, names: [])
    }

    /// A certificate that serves as either side's, for DNS names and numeric addresses. Tests tell certificates apart by
    /// their serial number.
    package func peer(
        commonName: String, organizations: [String] = [], hosts: [String], serialNumber: UInt8, notAfter: Date
    ) throws -> Credential {
        try issue(
            subject: try Self.subject(commonName, organizations), usages: [.server, .client],
            notBefore: Date(timeIntervalSinceNow: -Self.backdating), notAfter: notAfter, names: Self.names(hosts),
            serialNumber: Certificate.SerialNumber(bytes: [serialNumber]))
    }

    private static func names(_ hosts: [String]) -> [GeneralName] {
        hosts.map { host in
            guard let address = addressBytes(host) else { return .dnsName(host) }
            return .ipAddress(ASN1OctetString(contentBytes: address[...]))
        }
    }

    private static func subject(_ commonName: String, _ organizations: [String]) throws -> DistinguishedName {
        try DistinguishedName {
            for organization in organizations {
                OrganizationName(organization)
            }
            CommonName(commonName)
        }
    }

    private func issue(
        subject: DistinguishedName,
        usages: [Usage],
        notBefore: Date,
        notAfter: Date,
        names: [GeneralName],
        serialNumber: Certificate.SerialNumber = Certificate.SerialNumber()
    ) throws -> Credential {
        let key = P256.Signing.PrivateKey()
        var extensions = try Certificate.Extensions {
            Critical(BasicConstraints.notCertificateAuthority)
            Critical(KeyUsage(digitalSignature: true))
            try ExtendedKeyUsage(usages.map(\.extended))
        }
        if !names.isEmpty {
            try extensions.append(Certificate.Extension(SubjectAlternativeNames(names), critical: false))
        }
        let certificate = try Certificate(
            version: .v3,
            serialNumber: serialNumber,
            publicKey: Certificate.PublicKey(key.publicKey),
            notValidBefore: notBefore,
            notValidAfter: notAfter,
            issuer: authority.subject,
            subject: subject,
            extensions: extensions,
            issuerPrivateKey: Certificate.PrivateKey(authorityKey)
        )
        return Credential(
            certificatePEM: try certificate.serializeAsPEM().pemString + "\n",
            privateKeyPEM: Self.sec1PEM(key),
            certificate: certificate
        )
    }

    /// `ECPrivateKey` of RFC 5915 for P-256: fixed lengths, so that the DER is a template around key and point.
    private static func sec1PEM(_ key: P256.Signing.PrivateKey) -> String {
        let der: [UInt8] =
            [0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20] + Array(key.rawRepresentation)
            + [0xA0, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07]
            + [0xA1, 0x44, 0x03, 0x42, 0x00] + Array(key.publicKey.x963Representation)
        return PEMDocument(type: "EC PRIVATE KEY", derBytes: der).pemString + "\n"
    }

    /// A numeric address in network order, 4 or 16 bytes; `nil` for a name.
    private static func addressBytes(_ host: String) -> [UInt8]? {
        for (family, size) in [(AF_INET, 4), (AF_INET6, 16)] {
            var bytes = [UInt8](repeating: 0, count: size)
            if unsafe inet_pton(family, host, &bytes) == 1 { return bytes }
        }
        return nil
    }
}
