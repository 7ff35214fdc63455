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
///
/// The agent runs a credential plugin, where the kubeconfig names one, at the first request. It runs the plugin again
/// before the credential ends, and when the API server refuses it.
package final class NodeCredentials: Sendable {
    /// One consistent set of credentials.
    package struct Snapshot: Sendable {
        /// Counts loads from 1. Two snapshots with the same number are the same.
        package var generation: UInt64
        /// Holds the client certificate; never used with another generation's connections.
        package var tlsConfiguration: TLSConfiguration
        package var bearerToken: SecretToken?
        /// The end of the client certificate, or of what the plugin gave; `nil` if that is unknown.
        package var notAfter: UnixInstant?
        /// Why there is nothing to authenticate with: the plugin's failure.
        package var problem: KubernetesAPIError?

        package init(
            generation: UInt64, tlsConfiguration: TLSConfiguration, bearerToken: SecretToken? = nil,
            notAfter: UnixInstant? = nil, problem: KubernetesAPIError? = nil
        ) {
            self.generation = generation
            self.tlsConfiguration = tlsConfiguration
            self.bearerToken = bearerToken
            self.notAfter = notAfter
            self.problem = problem
        }
    }

    private struct Storage {
        var snapshot: Snapshot
        var versions: [String: HostFiles.Version]
        var nextCheck: ContinuousClock.Instant
        /// The last complaint, so that it is not logged every second.
        var complaint: KubernetesAPIError?
        /// The plugin's credential, as far as `snapshot` has it.
        var held: ExecCredentialCache.Held?
    }

    package let kubeconfig: Kubeconfig
    private let checkInterval: Duration
    private let logger: Logger
    private let storage: Mutex<Storage>
    private let plugin: ExecCredentialSource?

    /// Loads the credentials that `kubeconfig` names; from then on, its files are looked at once per `checkInterval` at
    /// most.
    package init(
        kubeconfig: Kubeconfig, checkInterval: Duration = .seconds(1),
        pluginDeadline: Duration = ExecCredentialSource.deadline, pluginPause: Duration = .seconds(1), logger: Logger
    ) throws(KubernetesAPIError) {
        self.kubeconfig = kubeconfig
        self.plugin =
            if let plugin = kubeconfig.plugin {
                try ExecCredentialSource(
                    plugin, of: kubeconfig, deadline: pluginDeadline, pause: pluginPause, logger: logger)
            } else {
                nil
            }
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
        guard let plugin else { return latest }
        do throws(KubernetesAPIError) {
            return try adopt(try await plugin.credential())
        } catch {
            var snapshot = latest
            snapshot.problem = error
            return snapshot
        }
    }

    /// The API server refused these credentials: the next request looks at the files whatever the time, and takes a new
    /// credential of the plugin's.
    package func distrust() {
        let held = storage.withLock { storage in
            storage.nextCheck = .now
            return storage.held
        }
        if let held { plugin?.refused(held.number) }
    }

    /// Credentials with what the plugin gave; a new one makes a new generation.
    private func adopt(_ held: ExecCredentialCache.Held) throws(KubernetesAPIError) -> Snapshot {
        let (known, snapshot) = storage.withLock { ($0.held, $0.snapshot) }
        if known?.number == held.number { return snapshot }
        let new = try CredentialFiles(kubeconfig).load(generation: snapshot.generation + 1, plugin: held.credential)
        return storage.withLock { storage in
            // Another request may have been faster.
            if storage.snapshot.generation == snapshot.generation {
                storage.snapshot = new
                storage.held = held
            }
            return storage.snapshot
        }
    }

    private func reloadIfChanged() {
        let (before, generation, held) = storage.withLock { ($0.versions, $0.snapshot.generation, $0.held) }
        do throws(KubernetesAPIError) {
            let versions = try CredentialFiles(kubeconfig).versions()
            guard versions != before else {
                storage.withLock { $0.complaint = nil }
                return
            }
            let snapshot = try CredentialFiles(kubeconfig).load(generation: generation + 1, plugin: held?.credential)
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
