package import Foundation
import Synchronization

/// The pod that a Kubernetes token was issued to, as the token service read it from the token's claims.
package struct LabSubject: Sendable, Hashable {
    /// `system:serviceaccount:NAMESPACE:NAME`.
    package var subject: String
    package var namespace: String
    package var serviceAccount: String
    package var podName: String
    package var podUID: String
    package var node: String?
}

/// A token that one of the cloud's emulators issued.
package struct LabTokenRecord: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        /// The Security Token Service issued it.
        case federated
        /// The call `generateAccessToken` issued it.
        case access
        /// The call `generateIdToken` issued it, for this audience.
        case identity(audience: String)
    }

    package var kind: Kind
    package var subject: LabSubject
    /// The Google service account; `nil` for federated tokens.
    package var account: String?
    package var scopes: [String]
    package var issued: Date
    package var expires: Date
    /// The `jti` of the Kubernetes token that was exchanged.
    package var subjectTokenID: String
}

/// All tokens that the cloud's emulators issued: a test asks it whose a token is, an emulator whether it is alive.
package final class LabTokenLedger: Sendable {
    /// More than any test or demonstration issues; the oldest are forgotten.
    private static let capacity = 100_000

    private struct Storage {
        var tokens: [String: LabTokenRecord] = [:]
        var order: [String] = []
    }

    private let storage = Mutex(Storage())

    /// An empty ledger.
    package init() {}

    /// The subject that `token` was issued to, expired or not; `nil` if no emulator issued it.
    package func describe(_ token: String) -> LabTokenRecord? {
        storage.withLock { $0.tokens[token] }
    }

    /// Every token that was issued and is remembered, with its record.
    package var all: [String: LabTokenRecord] {
        storage.withLock { $0.tokens }
    }

    /// How many tokens were issued.
    package var count: Int {
        storage.withLock { $0.tokens.count }
    }

    func add(_ token: String, _ record: LabTokenRecord) {
        storage.withLock { storage in
            storage.tokens[token] = record
            storage.order.append(token)
            if storage.order.count > Self.capacity {
                storage.tokens[storage.order.removeFirst()] = nil
            }
        }
    }

    /// An opaque token of `length` characters that begins with `prefix`.
    static func makeToken(prefix: String, length: Int) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
        let count = max(0, length - prefix.count)
        return prefix + String((0..<count).map { _ in alphabet[Int.random(in: 0..<alphabet.count)] })
    }
}
