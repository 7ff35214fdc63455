import Crypto
package import Foundation
package import _CryptoExtras

/// A 2048-bit RSA key that signs JSON Web Tokens with RS256, as a Kubernetes API server and Google's accounts do.
package struct RSASigningKey: Sendable {
    /// `base64url(SHA-256(DER SubjectPublicKeyInfo))`: how Kubernetes names its keys.
    package let keyID: String
    private let key: _RSA.Signing.PrivateKey

    /// Makes a new key. Slow: a test makes one and passes it around.
    package init() throws {
        key = try _RSA.Signing.PrivateKey(keySize: .bits2048)
        keyID = Data(SHA256.hash(data: key.publicKey.derRepresentation)).base64URL
    }

    /// The public half.
    package var publicKey: _RSA.Signing.PublicKey { key.publicKey }

    /// The public half as a JSON Web Key (RFC 7517), in the API server's order.
    package var webKey: JSON {
        get throws {
            let primitives = try key.publicKey.getKeyPrimitives()
            return [
                "use": "sig", "kty": "RSA", "kid": .string(keyID), "alg": "RS256",
                "n": .string(primitives.modulus.base64URL), "e": .string(primitives.publicExponent.base64URL),
            ]
        }
    }

    /// A key set (RFC 7517, section 5) of this key alone.
    package var webKeySet: JSON {
        get throws { ["keys": [try webKey]] }
    }

    /// Signs `claims`. `algorithm` and `keyID` go into the header as they are: tests forge with them.
    package func sign(_ claims: JSON, algorithm: String = "RS256", keyID: String? = nil) throws -> String {
        let header: JSON = ["alg": .string(algorithm), "kid": .string(keyID ?? self.keyID)]
        let input = Data(header.text.utf8).base64URL + "." + Data(claims.text.utf8).base64URL
        let signature = try key.signature(for: SHA256.hash(data: Data(input.utf8)), padding: .insecurePKCS1v1_5)
        return input + "." + signature.rawRepresentation.base64URL
    }
}

/// A parsed JSON Web Token (RFC 7519), untrusted until its signature is checked.
package struct JSONWebToken: Sendable {
    package let header: JSON
    package let claims: JSON
    private let input: String
    private let signature: Data

    /// `nil` unless `text` is three base64url parts, the first two of which are JSON objects.
    package init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3,
            let header = Data(base64URL: parts[0]), let claims = Data(base64URL: parts[1]),
            let signature = Data(base64URL: parts[2]),
            let headerJSON = try? JSON(parsing: header), headerJSON.members != nil,
            let claimsJSON = try? JSON(parsing: claims), claimsJSON.members != nil
        else { return nil }
        self.header = headerJSON
        self.claims = claimsJSON
        self.input = parts[0] + "." + parts[1]
        self.signature = signature
    }

    /// Whether `key` made the signature, with RS256.
    package func isSigned(by key: _RSA.Signing.PublicKey) -> Bool {
        key.isValidSignature(
            _RSA.Signing.RSASignature(rawRepresentation: signature),
            for: SHA256.hash(data: Data(input.utf8)),
            padding: .insecurePKCS1v1_5
        )
    }

    /// The audiences; a single string counts as a list of one.
    package var audiences: [String] {
        claims["aud"]?.strings ?? claims["aud"]?.string.map { [$0] } ?? []
    }

    /// `exp`, `iat` or `nbf` as a date.
    package func date(_ claim: String) -> Date? {
        claims[claim]?.integer.map { Date(timeIntervalSince1970: TimeInterval($0)) }
    }
}

/// The public keys of an issuer, by `kid`.
package struct JSONWebKeySet: Sendable {
    private let keys: [String: _RSA.Signing.PublicKey]

    init(keys: [String: _RSA.Signing.PublicKey]) {
        self.keys = keys
    }

    package init(_ keys: [RSASigningKey]) {
        self.keys = Dictionary(keys.map { ($0.keyID, $0.publicKey) }) { first, _ in first }
    }

    /// The key named `keyID`.
    package subscript(keyID: String) -> _RSA.Signing.PublicKey? { keys[keyID] }
}

extension Data {
    /// Base64 with the URL alphabet and without padding (RFC 4648, section 5).
    package var base64URL: String {
        base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    /// Decodes base64url without padding.
    package init?(base64URL text: some StringProtocol) {
        let standard = String(text.map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 })
        self.init(base64Encoded: standard + String(repeating: "=", count: (4 - standard.utf8.count % 4) % 4))
    }
}
