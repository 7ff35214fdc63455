import Foundation
import NIOCore
import NIOHTTP1
import Synchronization
package import _CryptoExtras

/// The public keys of an OpenID Connect issuer, found as a cloud finds them: the issuer's discovery document names the key
/// set, and both are read without a credential.
package final class IssuerDiscovery: Sendable {
    /// A sentence about what the issuer did not answer.
    package struct Failure: Error, CustomStringConvertible {
        package var description: String
    }

    /// Answers a GET of this URL that bears no credential; `nil`: no server is there.
    package typealias Fetch = @Sendable (_ url: String) async -> LabResponse?

    package let issuer: String
    /// The URLs that were read, oldest first.
    package let reads = EventLog<String>()
    private let fetch: Fetch
    private let known = Mutex<[String: _RSA.Signing.PublicKey]>([:])

    package init(issuer: String, fetch: @escaping Fetch) {
        self.issuer = issuer
        self.fetch = fetch
    }

    /// Returns the key of this name; `nil` if the issuer has none. An unknown name has the documents read again, since an
    /// issuer may have a new key.
    package func key(_ keyID: String) async throws(Failure) -> _RSA.Signing.PublicKey? {
        if let key = known.withLock({ $0[keyID] }) { return key }
        let keys = try await readKeys()
        known.withLock { $0 = keys }
        return keys[keyID]
    }

    private func readKeys() async throws(Failure) -> [String: _RSA.Signing.PublicKey] {
        guard issuer.hasPrefix("https://") else { throw Failure(description: "the issuer is no https URL") }
        let document = try await read(issuer + "/.well-known/openid-configuration")
        guard document["issuer"]?.string == issuer else {
            throw Failure(description: "the discovery document is another issuer's")
        }
        guard document["id_token_signing_alg_values_supported"]?.strings?.contains("RS256") == true,
            let location = document["jwks_uri"]?.string, location.hasPrefix("https://")
        else { throw Failure(description: "the discovery document names no RS256 or no https key set") }
        let keys = try await read(location)["keys"]?.array ?? []
        let pairs = keys.compactMap { key -> (String, _RSA.Signing.PublicKey)? in
            guard key["kty"]?.string == "RSA", key["use"]?.string ?? "sig" == "sig", let name = key["kid"]?.string,
                let modulus = key["n"]?.string.flatMap({ Data(base64URL: $0) }),
                let exponent = key["e"]?.string.flatMap({ Data(base64URL: $0) }),
                let value = try? _RSA.Signing.PublicKey(n: modulus, e: exponent)
            else { return nil }
            return (name, value)
        }
        guard !pairs.isEmpty else { throw Failure(description: "the key set holds no RSA key") }
        return Dictionary(pairs) { first, _ in first }
    }

    private func read(_ url: String) async throws(Failure) -> JSON {
        reads.record(url)
        guard let response = await fetch(url), response.status == 200, case .bytes(let body) = response.body,
            let document = try? JSON(parsing: body.readableBytesView)
        else { throw Failure(description: "\(url) cannot be read") }
        return document
    }
}

extension LabCluster {
    /// Finds this cluster's keys: the API server answers at the issuer's name and at its own URL, to callers without a
    /// credential as far as its RBAC allows.
    package func issuerDiscovery() -> IssuerDiscovery {
        let kubernetes = kubernetes
        let bases = [configuration.kubernetes.issuer, kubernetesURL]
        return IssuerDiscovery(issuer: configuration.kubernetes.issuer) { url in
            guard let base = bases.first(where: { url.hasPrefix($0 + "/") }) else { return nil }
            return await kubernetes.handle(LabRequest(method: "GET", target: String(url.dropFirst(base.count))))
        }
    }
}
