package import Crypto
import FoundationEssentials
import SwiftASN1
import Text
import Tokens
import X509

/// The keys that verify a trust domain's SVIDs: certificate authorities, and keys of JWT-SVIDs.
package struct TrustBundle: Sendable, Hashable {
    /// An ES256 key, by the name that tokens carry in their header.
    package struct Key: Sendable, Hashable {
        package var id: String
        /// The two coordinates of the point, 32 bytes each.
        package var x: [UInt8]
        package var y: [UInt8]

        package init(id: String, x: [UInt8], y: [UInt8]) {
            self.id = id
            self.x = x
            self.y = y
        }

        package init(_ key: P256.Signing.PublicKey) {
            let point = [UInt8](key.rawRepresentation)
            self.init(
                id: Base64URL.encode(SHA256.hash(data: key.derRepresentation)), x: Array(point.prefix(32)),
                y: Array(point.suffix(32)))
        }

        package var publicKey: P256.Signing.PublicKey? { try? P256.Signing.PublicKey(rawRepresentation: x + y) }
    }

    package let trustDomain: TrustDomain
    /// `spiffe_sequence`: grows with each change.
    package var sequence: UInt64
    /// Certificates of authorities in DER.
    package var authorities: [[UInt8]]
    package var keys: [Key]

    /// More of either is no bundle of ours: two of each during a rotation.
    private static let countLimit = 32

    package init(trustDomain: TrustDomain, sequence: UInt64 = 0, authorities: [[UInt8]], keys: [Key]) {
        self.trustDomain = trustDomain
        self.sequence = sequence
        self.authorities = authorities
        self.keys = keys
    }

    /// Reads a SPIFFE bundle document (SPIFFE Trust Domain and Bundle, section 4). Keys of a use that is not known are
    /// left out, as the document asks; a known use in an unknown form is an error.
    package init(parsing bytes: [UInt8], of trustDomain: TrustDomain) throws(SpiffeError) {
        guard let document = try? JSONDecoder().decode(Document.self, from: Data(bytes)),
            document.keys.count <= Self.countLimit
        else { throw SpiffeError("the document is not a SPIFFE bundle") }
        self.init(trustDomain: trustDomain, sequence: document.sequence ?? 0, authorities: [], keys: [])
        for key in document.keys {
            switch key.use {
            case "x509-svid":
                guard let text = key.x5c?.first, key.x5c?.count == 1, let der = Data(base64Encoded: text),
                    (try? Certificate(derEncoded: [UInt8](der))) != nil
                else { throw SpiffeError("a certificate of the bundle is none") }
                authorities.append([UInt8](der))
            case "jwt-svid":
                guard let id = key.kid, !id.isEmpty, key.kty == "EC", key.crv == "P-256",
                    let x = key.x.flatMap({ Base64URL.decode($0) }), let y = key.y.flatMap({ Base64URL.decode($0) }),
                    x.count == 32, y.count == 32
                else { continue }
                keys.append(Key(id: id, x: x, y: y))
            default: continue
            }
        }
        guard !authorities.isEmpty else { throw SpiffeError("the bundle has no certificate authority") }
    }

    /// The authorities one after the other, as the Workload API hands them out.
    package var concatenatedAuthorities: [UInt8] { authorities.flatMap { $0 } }

    /// The authorities in PEM.
    package var pem: String {
        authorities.map { PEMDocument(type: "CERTIFICATE", derBytes: $0).pemString + "\n" }.joined()
    }

    /// The document of the SPIFFE bundle endpoint.
    package func document(refreshHint: Int) -> [UInt8] {
        let certificates = authorities.map(Document.Key.init(authority:))
        return Document(
            keys: certificates + keys.map { Document.Key($0, use: "jwt-svid") }, sequence: sequence,
            refreshHint: refreshHint
        ).bytes
    }

    /// The keys of JWT-SVIDs alone, as the Workload API and OIDC hand them out.
    package func keySet(use: String = "jwt-svid") -> [UInt8] {
        Document(keys: keys.map { Document.Key($0, use: use) }, sequence: nil, refreshHint: nil).bytes
    }
}

/// The JSON of a bundle, and of a JWK set.
private struct Document: Codable {
    var keys: [Key]
    var sequence: UInt64?
    var refreshHint: Int?

    enum CodingKeys: String, CodingKey {
        case keys
        case sequence = "spiffe_sequence"
        case refreshHint = "spiffe_refresh_hint"
    }

    struct Key: Codable {
        var kty: String
        var crv: String?
        var x: String?
        var y: String?
        var n: String?
        var e: String?
        var kid: String?
        var use: String?
        var alg: String?
        var x5c: [String]?
    }

    var bytes: [UInt8] { SortedJSON.bytes(of: self) }
}

extension Document.Key {
    init(_ key: TrustBundle.Key, use: String) {
        self.init(
            kty: "EC", crv: "P-256", x: Base64URL.encode(key.x), y: Base64URL.encode(key.y), kid: key.id, use: use,
            alg: "ES256")
    }

    /// A certificate's key beside it, as far as it is EC P-256; readers of bundles look at `x5c` alone.
    init(authority der: [UInt8]) {
        self.init(kty: "EC", use: "x509-svid", x5c: [Data(der).base64EncodedString()])
        guard let certificate = try? Certificate(derEncoded: der),
            let key = P256.Signing.PublicKey(certificate.publicKey)
        else { return }
        let point = [UInt8](key.rawRepresentation)
        crv = "P-256"
        x = Base64URL.encode(point.prefix(32))
        y = Base64URL.encode(point.suffix(32))
    }
}

/// Why something of SPIFFE is not what it should be, in one sentence without secrets.
package struct SpiffeError: Error, Sendable, Hashable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}
