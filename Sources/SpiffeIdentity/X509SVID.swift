import Crypto
package import FoundationEssentials
import SwiftASN1
import X509

/// An X.509-SVID with its private key, verified against the bundle that it came with.
package struct X509SVID: Sendable {
    package let id: SpiffeID
    /// The chain in DER, the leaf first, without the root.
    package let chain: [[UInt8]]
    package let key: WorkloadKey
    package let notBefore: Date
    package let notAfter: Date
    /// The serial number in upper-case hexadecimal, for logs and audit.
    package let serialNumber: String

    /// Takes what a signer answered, after making sure that it is what was asked for: for this key and this ID, usable
    /// by every known client, valid now, and leading to an authority of `bundle`.
    package init(
        chain: [[UInt8]], key: WorkloadKey, id: SpiffeID, bundle: TrustBundle, now: Date = Date()
    ) throws(SpiffeError) {
        let certificates = chain.compactMap { try? Certificate(derEncoded: $0) }
        guard let leaf = certificates.first, certificates.count == chain.count, chain.count <= 5 else {
            throw SpiffeError("the chain is not made of certificates")
        }
        guard leaf.publicKey == key.publicKey else { throw SpiffeError("the certificate is for another key") }
        try Self.checkProfile(leaf, id: id)
        try Self.checkPath(certificates, bundle: bundle, now: now)
        self.id = id
        self.chain = chain
        self.key = key
        notBefore = leaf.notValidBefore
        notAfter = leaf.notValidAfter
        serialNumber = leaf.serialNumber.bytes.map { byte in
            let text = String(byte, radix: 16, uppercase: true)
            return text.count < 2 ? "0" + text : text
        }.joined()
    }

    /// The chain as the Workload API hands it out.
    package var concatenatedChain: [UInt8] { chain.flatMap { $0 } }

    /// The chain in PEM, the leaf first.
    package var chainPEM: String { CertificateChain.pem(chain) }

    private static func checkProfile(_ leaf: Certificate, id: SpiffeID) throws(SpiffeError) {
        let extensions = leaf.extensions
        guard let names = try? extensions.subjectAlternativeNames else {
            throw SpiffeError("the certificate has no subject alternative name")
        }
        let uris = names.compactMap { name in
            if case .uniformResourceIdentifier(let uri) = name { uri } else { nil }
        }
        guard uris == [id.description] else { throw SpiffeError("the certificate is for another SPIFFE ID") }
        guard (try? extensions.basicConstraints) == .notCertificateAuthority else {
            throw SpiffeError("the certificate does not say that it is no authority")
        }
        guard let usage = try? extensions.keyUsage, usage.digitalSignature, !usage.keyCertSign, !usage.cRLSign else {
            throw SpiffeError("the certificate's key usage is not that of an X.509-SVID")
        }
    }

    private static func checkPath(_ chain: [Certificate], bundle: TrustBundle, now: Date) throws(SpiffeError) {
        for certificate in chain where !(certificate.notValidBefore <= now && now < certificate.notValidAfter) {
            throw SpiffeError("a certificate of the chain is not valid now")
        }
        var path = chain[...]
        while let certificate = path.popFirst(), let issuer = path.first {
            guard isIssued(certificate, by: issuer) else { throw SpiffeError("the chain is not one") }
        }
        guard let last = chain.last,
            bundle.authorities.contains(where: { der in
                guard let authority = try? Certificate(derEncoded: der) else { return false }
                return isIssued(last, by: authority)
            })
        else { throw SpiffeError("no authority of the bundle has issued the chain") }
    }

    private static func isIssued(_ certificate: Certificate, by issuer: Certificate) -> Bool {
        guard certificate.issuer == issuer.subject,
            case .isCertificateAuthority? = try? issuer.extensions.basicConstraints
        else { return false }
        return issuer.publicKey.isValidSignature(certificate.signature, for: certificate)
    }
}

extension SpiffeID {
    /// Reads the one URI of a certificate that was verified; `nil` if there is none, or more than one.
    package init?(certificate der: [UInt8]) {
        guard let names = try? Certificate(derEncoded: der).extensions.subjectAlternativeNames else { return nil }
        let uris = names.compactMap { name in
            if case .uniformResourceIdentifier(let uri) = name { uri } else { nil }
        }
        guard uris.count == 1 else { return nil }
        self.init(uris[0])
    }
}

/// The private key of one workload. It is made in the agent, and never printed.
package struct WorkloadKey: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private let key: P256.Signing.PrivateKey

    package init() {
        key = P256.Signing.PrivateKey()
    }

    var publicKey: Certificate.PublicKey { Certificate.PublicKey(key.publicKey) }

    /// PKCS#8 in DER, unencrypted, as the Workload API hands it out.
    package var exposedPKCS8: [UInt8] { [UInt8](key.derRepresentation) }

    /// The same in PEM.
    package var exposedPEM: String { key.pemRepresentation + "\n" }

    /// A certificate signing request that says nothing but which key it is for, in DER.
    package func signingRequest() throws(SpiffeError) -> [UInt8] {
        do {
            let request = try CertificateSigningRequest(
                version: .v1, subject: DistinguishedName(), privateKey: Certificate.PrivateKey(key),
                attributes: CertificateSigningRequest.Attributes(), signatureAlgorithm: .ecdsaWithSHA256)
            var serializer = DER.Serializer()
            try serializer.serialize(request)
            return serializer.serializedBytes
        } catch {
            throw SpiffeError("the key cannot sign a request for its certificate")
        }
    }

    package var description: String { "[redacted]" }
    package var debugDescription: String { "[redacted]" }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}
