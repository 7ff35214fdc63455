import FoundationEssentials

/// Reads the claims of a JWT (RFC 7519) without verifying its signature.
///
/// Only for tokens that came straight from their issuer over TLS: to learn when they expire, and to check that the
/// issuer put into them what it was asked for.
package enum JWTClaims {
    /// `nil` if `token` is not three base64url parts, or its payload is not what `Claims` needs.
    package static func decode<Claims: Decodable>(_ type: Claims.Type, from token: String) -> Claims? {
        let parts = token.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, let payload = base64URLDecode(parts[1]) else { return nil }
        return try? JSONDecoder().decode(type, from: payload)
    }

    private static func base64URLDecode(_ text: Substring.UTF8View) -> Data? {
        var bytes = text.map { byte in
            switch byte {
            case UInt8(ascii: "-"): UInt8(ascii: "+")
            case UInt8(ascii: "_"): UInt8(ascii: "/")
            default: byte
            }
        }
        while bytes.count % 4 != 0 { bytes.append(UInt8(ascii: "=")) }
        return Data(base64Encoded: Data(bytes))
    }
}

/// Whether `token` can stand in an `Authorization` header and in JSON as it is: visible ASCII, no quote, and not
/// longer than any token known (Google's federated tokens are the longest: up to 12,288 bytes).
package func isPlausibleToken(_ token: String) -> Bool {
    // A third above Google's own limit, so that a raised limit is not an outage; the metadata client's limits are
    // not ours to enforce.
    let limit = 16_384
    return (1...limit).contains(token.utf8.count)
        && token.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "\"") }
}
