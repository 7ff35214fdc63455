import Crypto
package import FoundationEssentials
package import SpiffeIdentity
import SwiftASN1
package import X509

/// A certificate authority with its private key: what signs X.509-SVIDs.
package struct SigningAuthority: Sendable {
    /// An SVID that was signed.
    package struct Issued: Sendable {
        /// The certificates in DER: the leaf, then the intermediates.
        package var chain: [[UInt8]]
        package var serialNumber: String
        package var notBefore: Date
        package var notAfter: Date
    }

    /// The difference that two clocks of one cluster may have.
    private static let backdating: TimeInterval = 120
    /// An authority whose end is nearer than this signs nothing any more.
    private static let leastLifetime: TimeInterval = 60

    private let certificate: Certificate
    private let key: Certificate.PrivateKey
    /// Certificates that follow the leaf in every chain: the authority and its issuers, but no root.
    private let intermediates: [[UInt8]]

    /// Takes the authority's certificate with those of its issuers, and its key, in PEM.
    ///
    /// - Throws: What does not fit: a key of another certificate, or a certificate that may not sign certificates.
    package init(chainPEM: String, keyPEM: String) throws(SpiffeError) {
        let chain = try Self.certificates(pem: chainPEM)
        guard let certificate = chain.first else { throw SpiffeError("the authority's file holds no certificate") }
        guard let key = try? Certificate.PrivateKey(pemEncoded: keyPEM) else {
            throw SpiffeError("the authority's key is not a private key in PEM")
        }
        guard key.publicKey == certificate.publicKey else {
            throw SpiffeError("the authority's key is not that of its certificate")
        }
        guard case .isCertificateAuthority? = try? certificate.extensions.basicConstraints,
            (try? certificate.extensions.keyUsage)?.keyCertSign ?? true
        else { throw SpiffeError("the authority's certificate may not sign certificates") }
        self.certificate = certificate
        self.key = key
        intermediates = chain.filter { $0.issuer != $0.subject }.compactMap { try? Self.der($0) }
    }

    /// The time at which the authority's own certificate ends.
    package var notAfter: Date { certificate.notValidAfter }
    /// The certificate in DER.
    package var der: [UInt8] { (try? Self.der(certificate)) ?? [] }
    /// Whether no other key has signed the certificate: it is an authority of the bundle by itself.
    package var isRoot: Bool { certificate.issuer == certificate.subject }

    /// The certificates of a PEM text, in its order.
    package static func certificates(pem: String) throws(SpiffeError) -> [Certificate] {
        guard let documents = try? PEMDocument.parseMultiple(pemString: pem) else {
            throw SpiffeError("the certificates are not PEM")
        }
        let certificates = documents.filter { $0.discriminator == "CERTIFICATE" }
            .compactMap { try? Certificate(pemDocument: $0) }
        guard certificates.count == documents.count else { throw SpiffeError("the PEM holds more than certificates") }
        return certificates
    }

    /// A certificate in DER.
    package static func der(_ certificate: Certificate) throws -> [UInt8] {
        var serializer = DER.Serializer()
        try serializer.serialize(certificate)
        return serializer.serializedBytes
    }

    /// Signs a certificate for the key of a signing request, in the profile that every known client takes: one URI, no
    /// authority, for servers and clients.
    ///
    /// - Throws: Why the request is refused, or the authority cannot sign.
    package func sign(
        _ request: [UInt8], as id: SpiffeID, subject: DistinguishedName = DistinguishedName(),
        for lifetime: TimeInterval, now: Date = Date()
    ) throws(SpiffeError) -> Issued {
        try sign(
            request, subject: subject, [.uniformResourceIdentifier(id.description)], [.serverAuth, .clientAuth],
            for: lifetime, now: now)
    }

    private func sign(
        _ request: [UInt8], subject: DistinguishedName, _ names: [GeneralName],
        _ usages: [ExtendedKeyUsage.Usage], for lifetime: TimeInterval, now: Date
    ) throws(SpiffeError) -> Issued {
        let publicKey = try Self.key(of: request)
        // Certificates have whole seconds, and the library rounds to the nearest.
        let now = Date(timeIntervalSince1970: now.timeIntervalSince1970.rounded(.down))
        let notBefore = now.addingTimeInterval(-Self.backdating)
        let notAfter = min(now.addingTimeInterval(lifetime), certificate.notValidAfter)
        guard notAfter.timeIntervalSince(now) >= min(lifetime, Self.leastLifetime) else {
            throw SpiffeError("the authority ends within a minute: replace it")
        }
        do {
            let leaf = try Certificate(
                version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: publicKey,
                notValidBefore: notBefore, notValidAfter: notAfter, issuer: certificate.subject,
                subject: subject, extensions: extensions(names, usages, hasSubject: !subject.isEmpty),
                issuerPrivateKey: key)
            return Issued(
                chain: [try Self.der(leaf)] + intermediates, serialNumber: Self.text(leaf.serialNumber),
                notBefore: notBefore, notAfter: notAfter)
        } catch {
            throw SpiffeError("the authority cannot sign")
        }
    }

    /// Signs a certificate that names the metadata server, for servers alone, as Compute Engine's own: its two names and
    /// the addresses at which pods ask.
    package func signMetadataServer(
        _ request: [UInt8], for lifetime: TimeInterval, now: Date = Date()
    ) throws(SpiffeError) -> Issued {
        let names: [GeneralName] = [
            .dnsName("metadata.google.internal"), .dnsName("metadata.goog"),
            .ipAddress(ASN1OctetString(contentBytes: [169, 254, 169, 254])),
            .ipAddress(
                ASN1OctetString(contentBytes: [0xfd, 0x20, 0, 0xce] + [UInt8](repeating: 0, count: 10) + [2, 0x54])),
        ]
        return try sign(request, subject: DistinguishedName(), names, [.serverAuth], for: lifetime, now: now)
    }

    private func extensions(
        _ names: [GeneralName], _ usages: [ExtendedKeyUsage.Usage], hasSubject: Bool
    ) throws -> Certificate.Extensions {
        var extensions = try Certificate.Extensions {
            Critical(BasicConstraints.notCertificateAuthority)
            Critical(KeyUsage(digitalSignature: true))
            try ExtendedKeyUsage(usages)
        }
        // RFC 5280 section 4.2.1.6: critical where the subject is empty, and not otherwise.
        try extensions.append(Certificate.Extension(SubjectAlternativeNames(names), critical: !hasSubject))
        if let identifier = try certificate.extensions.subjectKeyIdentifier {
            try extensions.append(
                Certificate.Extension(
                    AuthorityKeyIdentifier(keyIdentifier: identifier.keyIdentifier), critical: false))
        }
        return extensions
    }

    /// Why a signing request is not signed.
    enum RequestDefect: Sendable, Hashable {
        case form(String)
        case key(String)

        var text: String {
            switch self {
            case .form(let text), .key(let text): text
            }
        }
    }

    /// Looks for what a request must not be: it says nothing but its key, and proves that its sender has the key.
    static func defect(of request: [UInt8]) -> RequestDefect? {
        guard case .failure(let problem) = read(request) else { return nil }
        return problem.defect
    }

    private struct Problem: Error {
        var defect: RequestDefect
    }

    private static func read(_ request: [UInt8]) -> Result<Certificate.PublicKey, Problem> {
        func problem(_ defect: RequestDefect) -> Result<Certificate.PublicKey, Problem> {
            .failure(Problem(defect: defect))
        }
        guard request.count <= 4096, let request = try? CertificateSigningRequest(derEncoded: request) else {
            return problem(.form("the signing request is none"))
        }
        let key = request.publicKey
        guard
            P256.Signing.PublicKey(key) != nil || P384.Signing.PublicKey(key) != nil
                || P521.Signing.PublicKey(key) != nil
        else { return problem(.key("the signing request's key is none of EC P-256, P-384 and P-521")) }
        guard key.isValidSignature(request.signature, for: request) else {
            return problem(.form("the signing request is not signed with its key"))
        }
        guard request.subject.isEmpty, request.attributes.isEmpty else {
            return problem(.form("the signing request asks for names: it must be empty"))
        }
        return .success(key)
    }

    private static func key(of request: [UInt8]) throws(SpiffeError) -> Certificate.PublicKey {
        switch read(request) {
        case .success(let key): return key
        case .failure(let problem): throw SpiffeError(problem.defect.text)
        }
    }

    private static func text(_ number: Certificate.SerialNumber) -> String {
        number.bytes.map { byte in
            let text = String(byte, radix: 16, uppercase: true)
            return text.count < 2 ? "0" + text : text
        }.joined()
    }
}
