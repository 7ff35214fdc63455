import Foundation
import Synchronization
package import X509

/// A Kubernetes API server as a node's credentials see it: Node authorizer, NodeRestriction, TokenRequest, pod watch.
///
/// State is changed through this type's methods, by tests and by the demonstration; requests come in through
/// ``handle(_:)``, usually from a ``LabHTTPServer``.
package final class KubernetesEmulator: Sendable {
    /// Feature gates and flags of the API server.
    package struct Options: Sendable {
        /// `--service-account-issuer`.
        package var issuer = "https://kubernetes.default.svc.cluster.local"
        /// `--api-audiences`: audiences of tokens for which none was asked.
        package var apiAudiences = ["https://kubernetes.default.svc.cluster.local"]
        /// The gate `ServiceAccountNodeAudienceRestriction`, on since 1.33.
        package var restrictsNodeAudiences = true
        /// The gate `KubeletServiceAccountTokenForCredentialProviders`, on since 1.34.
        package var nodesReadServiceAccounts = true
        /// `--service-account-extend-token-expiration`: 3607 means a year.
        package var extendsTokens = true
        /// `--service-account-max-token-expiration`; `nil`: unlimited.
        package var maximumTokenSeconds: Int64?
        /// How long after a restart the Node authorizer knows no relationships. Measured: 60 to 170 ms.
        package var relationshipDelay = Duration.milliseconds(170)
        /// The period of bookmarks. Measured: 60 s.
        package var bookmarkInterval = Duration.seconds(60)
        /// Whether anonymous callers may read discovery document and keys, as the measured cluster had it bound.
        package var allowsAnonymousDiscovery = true
        /// The served version of PodCertificateRequests.
        package var podCertificates = PodCertificateSupport.absent
        /// Bytes of a claim that only makes tokens longer.
        package var paddingClaimBytes = 0

        package init() {}
    }

    /// The state of every request and change, under one lock.
    struct Storage {
        var state: ClusterState
        var watches: [Int: AsyncStream<WatchSignal>.Continuation] = [:]
        var nextWatch = 0
        /// Watches that stay open and are told nothing any more.
        var silenced: [Int: AsyncStream<WatchSignal>.Continuation] = [:]
        var watchDelay = Duration.zero
        var nodeTokens: [String: String] = [:]
        var certificates = CertificateState()
        /// The API server's external URL, for `jwks_uri`.
        var externalURL = "https://127.0.0.1:6443"
    }

    package let options: Options
    package let clock: LabClock
    package let signingKey: RSASigningKey
    /// Events that nodes created on pods, as the API received them.
    package let events = EventLog<JSON>()
    /// Patches of them.
    package let eventPatches = EventLog<JSON>()
    /// Minted tokens' subjects, oldest first.
    package let mints = EventLog<TokenMint>()
    /// The resourceVersion with which each watch was opened; 0 without one.
    package let watchesOpened = EventLog<UInt64>()
    let authority: Certificate
    let storage: Mutex<Storage>

    /// A token that was minted.
    package struct TokenMint: Sendable, Equatable {
        package var user: String
        package var namespace: String
        package var serviceAccount: String
        package var podUID: String?
        package var audiences: [String]
        package var expirationSeconds: Int64
    }

    /// A cluster without nodes and pods, whose clients are certified by `authority`.
    package init(
        authority: Certificate,
        signingKey: RSASigningKey,
        options: Options = Options(),
        clock: LabClock = LabClock()
    ) {
        self.authority = authority
        self.signingKey = signingKey
        self.options = options
        self.clock = clock
        self.storage = Mutex(Storage(state: ClusterState(options: options)))
    }

    /// The keys that verify this cluster's tokens.
    package var keySet: JSONWebKeySet { JSONWebKeySet([signingKey]) }

    /// The resourceVersion of the newest change.
    package var resourceVersion: UInt64 {
        storage.withLock { $0.state.resourceVersion }
    }

    /// Watches that are open now.
    package var openWatches: Int {
        storage.withLock { $0.watches.count }
    }

    /// Tells the discovery document where the API server is reached.
    package func setExternalURL(_ url: String) {
        storage.withLock { $0.externalURL = url }
    }

    /// Events reach open watches this much later from now on: what a slow watch does to an agent that attributes by it.
    package func setWatchDelay(_ delay: Duration) {
        storage.withLock { $0.watchDelay = delay }
    }

    /// Registers a bearer token that authenticates `node`, as a token file would hold it, and returns it.
    package func addNodeToken(for node: String) -> String {
        let token = "node-token-\(UUID().uuidString.lowercased())"
        storage.withLock { $0.nodeTokens[token] = node }
        return token
    }

    /// A node token authenticates no user from now on.
    package func removeNodeToken(_ token: String) {
        storage.withLock { _ = $0.nodeTokens.removeValue(forKey: token) }
    }

    /// Forgets everything before now: older resourceVersions give 410.
    package func compact() {
        storage.withLock { $0.state.compact() }
    }

    /// The API server restarts: watches end cleanly, the watch cache begins now, and for
    /// ``Options/relationshipDelay`` the Node authorizer answers "no relationship found".
    package func restart() {
        storage.withLock { $0.state.restart(now: clock.now) }
        endWatches()
    }

    /// Ends all open watches with a clean end of file.
    package func endWatches() {
        storage.withLock { storage in
            for watch in storage.watches.values {
                watch.yield(.end)
            }
        }
    }
}
