package import Logging
import NIOPosix
package import NIOSSL
import Synchronization
package import Tokens
package import UpstreamHTTP

/// The node's own credentials for the API server, as their files are now.
///
/// The kubelet renews its certificate under us by replacing a symbolic link. Before a request, at most once per
/// `checkInterval`, the files are looked at; what changed is loaded. A file that is half-written or does not fit
/// its key changes nothing: the credential in use stays, and the log says so once.
package final class NodeCredentials: Sendable {
    /// One consistent set of credentials.
    package struct Snapshot: Sendable {
        /// Counts loads from 1. Two snapshots with the same number are the same.
        package var generation: UInt64
        /// Holds the client certificate; never used with another generation's connections.
        package var tlsConfiguration: TLSConfiguration
        package var bearerToken: SecretToken?
        /// When the client certificate ends; `nil` without one.
        package var notAfter: UnixInstant?
    }

    private struct Storage {
        var snapshot: Snapshot
        var versions: [String: HostFiles.Version]
        var nextCheck: ContinuousClock.Instant
        /// What was last complained about, so that it is not said every second.
        var complaint: KubernetesAPIError?
    }

    package let kubeconfig: Kubeconfig
    private let checkInterval: Duration
    private let logger: Logger
    private let storage: Mutex<Storage>

    /// Loads the credentials that `kubeconfig` names; from then on, its files are looked at once per `checkInterval` at
    /// most.
    package init(
        kubeconfig: Kubeconfig, checkInterval: Duration = .seconds(1), logger: Logger
    ) throws(KubernetesAPIError) {
        self.kubeconfig = kubeconfig
        self.checkInterval = checkInterval
        self.logger = logger
        // Looked at before they are read: a change in between is then seen as one.
        let versions = try CredentialFiles(kubeconfig).versions()
        let snapshot = try CredentialFiles(kubeconfig).load(generation: 1)
        self.storage = Mutex(
            Storage(snapshot: snapshot, versions: versions, nextCheck: .now + checkInterval, complaint: nil)
        )
    }

    /// The credentials in use, without a look at the files.
    package var latest: Snapshot { storage.withLock { $0.snapshot } }

    /// The credentials to use for a request that begins now.
    package func current() async -> Snapshot {
        let isDue = storage.withLock { storage in
            let now = ContinuousClock.now
            guard storage.nextCheck <= now else { return false }
            storage.nextCheck = now + checkInterval
            return true
        }
        // File access blocks, if only for microseconds: not on the threads that run everybody's tasks.
        if isDue { try? await NIOThreadPool.singleton.runIfActive { self.reloadIfChanged() } }
        return latest
    }

    /// The API server refused these credentials: the next request looks at the files whatever the time.
    package func distrust() {
        storage.withLock { $0.nextCheck = .now }
    }

    private func reloadIfChanged() {
        let (before, generation) = storage.withLock { ($0.versions, $0.snapshot.generation) }
        do throws(KubernetesAPIError) {
            let versions = try CredentialFiles(kubeconfig).versions()
            guard versions != before else {
                storage.withLock { $0.complaint = nil }
                return
            }
            let snapshot = try CredentialFiles(kubeconfig).load(generation: generation + 1)
            let isNew = storage.withLock { storage in
                // Another check may have been faster.
                guard storage.snapshot.generation == generation else { return false }
                storage.snapshot = snapshot
                storage.versions = versions
                storage.complaint = nil
                return true
            }
            if isNew { logger.info("node credentials reloaded", metadata: ["generation": "\(generation + 1)"]) }
        } catch {
            let isNew = storage.withLock { storage in
                defer { storage.complaint = error }
                return storage.complaint != error
            }
            if isNew {
                logger.error(
                    "node credentials changed, but cannot be loaded; the old ones stay in use",
                    metadata: ["error": "\(error)"]
                )
            }
        }
    }
}
