import Crypto
import Foundation
import Fuzzing
import Testing
import Tokens

@testable import SpiffeIdentity

/// The tokens that are believed.
@Suite struct JWTSVIDTests {
    private static let key = P256.Signing.PrivateKey()
    private static let published = TrustBundle.Key(key.publicKey)
    private static let bundle = TrustBundle(trustDomain: testDomain, authorities: [[1]], keys: [published])
    private static let now = 1_800_000_000.0

    private static func claims(_ changes: [String: JSONValue?] = [:]) -> [String: JSONValue] {
        var claims: [String: JSONValue] = [
            "sub": .string(testID.description), "aud": .array([.string("vault"), .string("other")]),
            "exp": .number(now + 300), "iat": .number(now),
        ]
        for (name, value) in changes { claims[name] = value }
        return claims
    }

    private static func sign(_ changes: [String: JSONValue?] = [:]) throws -> String {
        try JWTSVID.sign(claims(changes), with: key, id: published.id)
    }

    private static func words(_ token: String, audience: String = "vault", bundle: TrustBundle = bundle) -> String {
        do {
            return try JWTSVID.verify(token, audience: audience, bundle: bundle, now: now).id.description
        } catch {
            return error.description
        }
    }

    @Test("a good token is its subject's")
    func good() throws {
        #expect(Self.words(try Self.sign()) == testID.description)
        #expect(Self.words(try Self.sign(["aud": .string("vault")])) == testID.description)
        #expect(Self.words(try Self.sign(), audience: "other") == testID.description)
    }

    @Test("a token with one fault is refused for that fault")
    func faults() throws {
        #expect(Self.words(try Self.sign(), audience: "elsewhere") == "the token is for another audience")
        #expect(Self.words(try Self.sign(["aud": nil])) == "the token is for another audience")
        #expect(Self.words(try Self.sign(["aud": .array([.number(1)])])) == "the token is for another audience")
        #expect(Self.words(try Self.sign(["exp": .number(Self.now)])) == "the token has expired")
        #expect(Self.words(try Self.sign(["exp": nil])) == "the token has no expiry")
        #expect(Self.words(try Self.sign(["exp": .string("1900000000")])) == "the token has no expiry")
        #expect(Self.words(try Self.sign(["nbf": .number(Self.now + 60)])) == "the token is not valid yet")
        let account = "system:serviceaccount:shop:web"
        #expect(Self.words(try Self.sign(["sub": .string(account)])) == "the token's subject is not a SPIFFE ID")
        let elsewhere = "spiffe://other.example/ns/shop/sa/web"
        #expect(Self.words(try Self.sign(["sub": .string(elsewhere)])) == "the token is of another trust domain")
        #expect(Self.words("a.b") == "the token is not a JWT")
        let long = try Self.sign(["x": .string(String(repeating: "x", count: 20_000))])
        #expect(Self.words(long) == "the token is too long")
    }

    @Test("another key, another kid, and a changed claim are refused")
    func signatures() throws {
        let other = P256.Signing.PrivateKey()
        let foreign = try JWTSVID.sign(Self.claims(), with: other, id: Self.published.id)
        #expect(Self.words(foreign) == "the token's signature is not valid")
        let unknown = try JWTSVID.sign(Self.claims(), with: other, id: "unknown")
        #expect(Self.words(unknown) == "no key of the bundle has the token's kid")
        let parts = try Self.sign().split(separator: ".")
        let changed = Base64URL.encode(JSONValue.object(Self.claims(["aud": .string("elsewhere")])).bytes)
        #expect(
            Self.words("\(parts[0]).\(changed).\(parts[2])", audience: "elsewhere")
                == "the token's signature is not valid")
    }

    @Test("alg none, HS256 with the public key, EdDSA, a wrong typ and critical headers are refused")
    func headers() throws {
        let parts = try Self.sign().split(separator: ".")
        func token(_ header: [String: JSONValue], signature: [UInt8]? = nil) -> String {
            let head = Base64URL.encode(JSONValue.object(header).bytes)
            return "\(head).\(parts[1])." + (signature.map { Base64URL.encode($0) } ?? String(parts[2]))
        }
        let kid = JSONValue.string(Self.published.id)
        #expect(Self.words(token(["alg": .string("none"), "kid": kid], signature: [])).contains("algorithm"))
        let secret = SymmetricKey(data: Array(Self.key.publicKey.pemRepresentation.utf8))
        let head = Base64URL.encode(JSONValue.object(["alg": .string("HS256"), "kid": kid]).bytes)
        let mac = HMAC<SHA256>.authenticationCode(for: Array("\(head).\(parts[1])".utf8), using: secret)
        #expect(Self.words("\(head).\(parts[1]).\(Base64URL.encode(mac))").contains("algorithm"))
        #expect(Self.words(token(["alg": .string("EdDSA"), "kid": kid])).contains("algorithm"))
        #expect(Self.words(token(["alg": .string("ES256")])).contains("kid"))
        #expect(Self.words(token(["alg": .string("ES256"), "kid": kid, "typ": .string("at+jwt")])).contains("typ"))
        #expect(
            Self.words(token(["alg": .string("ES256"), "kid": kid, "crit": .array([.string("b64")])]))
                .contains("critical"))
    }

    @Test("changed bytes are never believed")
    func fuzz() throws {
        let good = try Self.sign()
        let mutator = Mutator(
            seeds: [Array(good.utf8)], words: [".", "..", "e30", "eyJhbGciOiJub25lIn0", "=", "-", "_", "\u{0}"])
        FuzzRun.seeds(usual: 3_000) { seed in
            var random = FuzzGenerator(seed: seed)
            let bytes = mutator.input(&random)
            FuzzRun.note(bytes)
            let text = String(decoding: bytes, as: UTF8.self)
            guard text != good else { return }
            #expect(Self.words(text) != testID.description, "\(FuzzRun.text(bytes))")
        }
    }
}

/// The bundle document, and SPIFFE IDs.
@Suite struct TrustBundleTests {
    @Test("a bundle reads back as it was written, and shows tokens' keys alone as a key set")
    func roundTrip() throws {
        let root = try TestAuthority()
        let key = TrustBundle.Key(P256.Signing.PrivateKey().publicKey)
        var bundle = root.bundle(testDomain, keys: [key])
        bundle.sequence = 17
        let read = try TrustBundle(parsing: bundle.document(refreshHint: 60), of: testDomain)
        #expect(read == bundle)
        let set = try #require(JSONValue(parsing: bundle.keySet()))
        guard case .array(let keys)? = set["keys"] else {
            Issue.record("no keys")
            return
        }
        #expect(keys.count == 1 && keys[0]["kid"]?.string == key.id && keys[0]["use"]?.string == "jwt-svid")
        let document = try #require(JSONValue(parsing: bundle.document(refreshHint: 60)))
        guard case .array(let all)? = document["keys"] else { return }
        #expect(all.first { $0["use"]?.string == "x509-svid" }?["kid"] == nil)
    }

    @Test(
        "what is no bundle is refused",
        arguments: [
            "", "{}", "[]", #"{"keys":[]}"#, #"{"keys":[{"kty":"EC","use":"x509-svid"}]}"#,
            #"{"keys":[{"kty":"EC","use":"x509-svid","x5c":["AAAA"]}]}"#,
            #"{"keys":[{"kty":"EC","use":"jwt-svid","kid":"a"}]}"#,
        ])
    func refused(text: String) {
        #expect(throws: SpiffeError.self) { try TrustBundle(parsing: Array(text.utf8), of: testDomain) }
    }

    @Test(
        "an ID is lower-case in its domain, and its path has plain segments",
        arguments: [
            ("spiffe://td/ns/a/sa/b", true), ("spiffe://td/A.b_c-d", true), ("spiffe://td", false),
            ("spiffe://td/", false), ("spiffe://TD/a", false), ("spiffe://td/a/", false), ("spiffe://td/a//b", false),
            ("spiffe://td/./a", false), ("spiffe://td/../a", false), ("spiffe://td/%20", false),
            ("spiffe://td/a:b", false), ("spiffe://td/a?b", false), ("spiffe://td/a#b", false),
            ("https://td/a", false), ("SPIFFE://td/a", false), ("spiffe:///a", false), ("spiffe://t d/a", false),
            ("spiffe://td:80/a", false), ("spiffe://user@td/a", false), ("spiffe://td/\u{e4}", false),
        ])
    func identifiers(text: String, isValid: Bool) {
        #expect((SpiffeID(text) != nil) == isValid)
        if let id = SpiffeID(text) { #expect(id.description == text) }
    }
}
