package import Crypto
import FoundationEssentials
import Tokens

/// A JWT-SVID: how one is signed, and how one is verified (the SPIFFE JWT-SVID profile, ES256 alone).
package enum JWTSVID {
    /// A token is a few hundred bytes; no more than this is looked at.
    package static let longest = 16 * 1024

    /// Signs `claims`, whose members are the caller's to choose.
    package static func sign(
        _ claims: [String: JSONValue], with key: P256.Signing.PrivateKey, id: String
    ) throws(SpiffeError) -> String {
        let header = JSONValue.object(["alg": .string("ES256"), "kid": .string(id), "typ": .string("JWT")])
        let signed = Base64URL.encode(header.bytes) + "." + Base64URL.encode(JSONValue.object(claims).bytes)
        guard let signature = try? key.signature(for: Array(signed.utf8)) else {
            throw SpiffeError("the key of JWT-SVIDs cannot sign")
        }
        return signed + "." + Base64URL.encode(signature.rawRepresentation)
    }

    /// A token that was verified.
    package struct Verified: Sendable {
        package var id: SpiffeID
        package var claims: [String: JSONValue]
        /// `exp`, in seconds since 1970.
        package var expiration: Double
    }

    /// Verifies `token` for `audience` against the keys of `bundle`.
    ///
    /// - Throws: What is wrong with it, in words that quote nothing of it.
    package static func verify(
        _ token: String, audience: String, bundle: TrustBundle, now: Double
    ) throws(SpiffeError) -> Verified {
        guard token.utf8.count <= longest else { throw SpiffeError("the token is too long") }
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let header = Base64URL.decode(parts[0]).flatMap(JSONValue.init(parsing:)),
            let claims = Base64URL.decode(parts[1]).flatMap(JSONValue.init(parsing:)),
            let signature = Base64URL.decode(parts[2]), case .object(let members) = claims
        else { throw SpiffeError("the token is not a JWT") }
        try check(header: header)
        guard let key = bundle.keys.first(where: { $0.id == header["kid"]?.string })?.publicKey else {
            throw SpiffeError("no key of the bundle has the token's kid")
        }
        guard let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signature),
            key.isValidSignature(signature, for: Array("\(parts[0]).\(parts[1])".utf8))
        else { throw SpiffeError("the token's signature is not valid") }
        guard let id = claims["sub"]?.string.flatMap({ SpiffeID($0) }) else {
            throw SpiffeError("the token's subject is not a SPIFFE ID")
        }
        guard id.trustDomain == bundle.trustDomain else { throw SpiffeError("the token is of another trust domain") }
        guard let audiences = claims["aud"]?.strings, audiences.contains(audience) else {
            throw SpiffeError("the token is for another audience")
        }
        guard let expiration = claims["exp"]?.number else { throw SpiffeError("the token has no expiry") }
        guard now < expiration else { throw SpiffeError("the token has expired") }
        if let start = claims["nbf"]?.number, start > now + leeway { throw SpiffeError("the token is not valid yet") }
        return Verified(id: id, claims: members, expiration: expiration)
    }

    /// The difference that two clocks of one cluster may have, in seconds.
    private static let leeway = 30.0

    /// `alg` decides nothing: it may only say what the bundle's keys are for.
    private static func check(header: JSONValue) throws(SpiffeError) {
        guard header["alg"]?.string == "ES256" else { throw SpiffeError("the token's algorithm is not ES256") }
        if let type = header["typ"] {
            guard let type = type.string, ["JWT", "JOSE"].contains(type) else {
                throw SpiffeError("the token's typ is neither JWT nor JOSE")
            }
        }
        // RFC 7515 section 4.1.11: what is critical and not understood makes a token invalid.
        guard header["crit"] == nil else { throw SpiffeError("the token has critical headers") }
    }
}
