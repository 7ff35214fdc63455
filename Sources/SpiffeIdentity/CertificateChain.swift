import SwiftASN1
import X509

/// A certificate chain, the leaf first, between DER and PEM.
package enum CertificateChain {
    /// The limit in bytes, above every real chain: a leaf and a few intermediates.
    private static let longest = 64 * 1024

    /// The chain in PEM.
    package static func pem(_ chain: [[UInt8]]) -> String {
        chain.map { PEMDocument(type: "CERTIFICATE", derBytes: $0).pemString + "\n" }.joined()
    }

    /// The certificates of a PEM text, in its order.
    package static func der(pem: String) throws(SpiffeError) -> [[UInt8]] {
        guard pem.utf8.count <= longest, let documents = try? PEMDocument.parseMultiple(pemString: pem),
            !documents.isEmpty, documents.allSatisfy({ $0.discriminator == "CERTIFICATE" })
        else { throw SpiffeError("the chain is not made of certificates in PEM") }
        return documents.map(\.derBytes)
    }
}
