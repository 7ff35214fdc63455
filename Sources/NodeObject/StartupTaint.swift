import EventLoops
package import KubernetesAPI
package import Logging
package import Settings
import Tokens

/// Takes the startup taint from this node when the agent is ready, so that no pod is scheduled there before.
///
/// Ready means what the readiness probe means: among other conditions, a connection of the agent's own pod was
/// answered.
///
/// The Node is read with the node's credentials and changed with the agent's own ServiceAccount, because no node may
/// change its taints. Whatever goes wrong is said and tried again; it never stops the agent.
package struct StartupTaint: Sendable {
    let key: String
    let nodeName: String
    /// The client with the node's credentials.
    let reader: KubernetesClient
    /// The credentials of the agent's own ServiceAccount.
    let credentials: NodeCredentials
    let options: KubernetesClientOptions
    /// Whether the readiness probe of this agent would succeed.
    let isReady: @Sendable () -> Bool
    let logger: Logger

    package init(
        key: String, nodeName: String, reader: KubernetesClient, credentials: NodeCredentials,
        options: KubernetesClientOptions, isReady: @escaping @Sendable () -> Bool, logger: Logger
    ) {
        self.key = key
        self.nodeName = nodeName
        self.reader = reader
        self.credentials = credentials
        self.options = options
        self.isReady = isReady
        self.logger = logger
    }

    /// The credentials of the agent's own ServiceAccount, if a taint is configured. Their token is checked here, so
    /// that an installation without one fails at its start.
    package static func credentials(
        _ configuration: AgentConfiguration, asked server: Kubeconfig, logger: Logger
    ) throws -> NodeCredentials? {
        guard configuration.startupTaint != nil else { return nil }
        return try NodeCredentials(
            kubeconfig: server.asServiceAccount(tokenFile: configuration.startupTaintTokenFile), logger: logger)
    }

    /// Removes the taint, and looks now and then whether a Node that was made again has it again, until its task is
    /// cancelled.
    package func run() async {
        let writer = KubernetesClient(options: options, credentials: credentials, logger: logger)
        var plan = StartupTaintPlan()
        while !Task.isCancelled {
            let pause: Duration
            if isReady() {
                pause = await step(&plan, writer: writer)
            } else {
                pause = StartupTaintPlan.readinessPause
            }
            // Cancellation is what the loop's condition looks at.
            try? await Task.sleep(for: pause)
        }
        await runClosing { await writer.shutdown() }
    }

    private func step(_ plan: inout StartupTaintPlan, writer: KubernetesClient) async -> Duration {
        do throws(UpstreamFailure) {
            let indices = try await reader.taintKeys(ofNode: nodeName).indices(of: key)
            if !indices.isEmpty {
                try await writer.removeTaints(key, at: indices, fromNode: nodeName)
                logger.info("startup taint removed", metadata: ["key": "\(key)"])
            }
            return plan.succeeded()
        } catch {
            let step = plan.failed(error.kind, jitter: .random(in: 0...1))
            if step.isNews, !Task.isCancelled {
                logger.warning(
                    "the startup taint cannot be removed: pods that do not tolerate it stay away from this node",
                    metadata: [
                        "key": "\(key)", "error": "\(error.message)",
                        "remedy": "install the component startup-taint, or: kubectl taint node \(nodeName) \(key)-",
                    ]
                )
            }
            return step.pause
        }
    }
}

/// The times at which the startup taint is looked at again.
struct StartupTaintPlan: Equatable {
    /// The pause while the agent is not ready.
    static let readinessPause = Duration.milliseconds(200)
    /// A Node object that was deleted and made again by the kubelet is tainted again.
    static let checkPause = Duration.seconds(60)
    /// The pauses after failures that may pass.
    static let backoff = Backoff(shortest: .seconds(1), longest: checkPause)

    private var failuresInARow = 0

    mutating func succeeded() -> Duration {
        failuresInARow = 0
        return Self.checkPause
    }

    /// A failure that may pass is tried again after 1 s, then twice as long each time. `jitter` in `0...1` keeps the
    /// nodes of a cluster apart.
    mutating func failed(_ kind: UpstreamFailure.Kind, jitter: Double) -> NodeStep {
        failuresInARow += 1
        let pause =
            switch kind {
            // A missing right does not come back by itself, and the answer costs next to nothing.
            case .denied, .notFound: Self.checkPause
            // 422, too: the list of taints has changed since it was read.
            case .misconfigured, .rateLimited, .unavailable, .staleSubjectToken:
                Self.backoff.pause(after: failuresInARow)
            }
        return NodeStep(pause: Backoff.spread(pause, jitter: jitter), isNews: failuresInARow == 1)
    }
}

extension [String] {
    fileprivate func indices(of element: String) -> [Int] {
        indices.filter { self[$0] == element }
    }
}
