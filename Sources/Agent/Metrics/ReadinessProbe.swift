import BPF
import KubernetesAPI
import Operations
import Synchronization
import UpstreamHTTP

/// Answers whether the agent can do its work.
struct ReadinessProbe: Sendable {
    let datapath: DatapathSlot
    let watcher: PodWatcher
    let credentials: NodeCredentials
    /// Whether the agent accepts connections.
    let isServing: @Sendable () -> Bool

    /// Two bookmarks missed, and the time that a new watch takes.
    static let freshness = Duration.seconds(150)

    var readiness: Readiness {
        Readiness([
            Readiness.Condition("hooks", problem: hooksProblem),
            Readiness.Condition("pods", problem: podsProblem),
            Readiness.Condition("credentials", problem: credentialsProblem),
        ])
    }

    private var hooksProblem: String? {
        guard let datapath = datapath.current else { return "not attached yet" }
        let missing = datapath.missingHooks
        if !missing.isEmpty { return "detached by somebody: \(missing.joined(separator: ", ")); restart the agent" }
        return isServing() ? nil : "attached, but connections are not accepted"
    }

    private var podsProblem: String? {
        let status = watcher.status
        if status.isFresh(within: Self.freshness) { return nil }
        guard status.isSynced, let last = status.lastContact else { return "the pod list has not been read yet" }
        return "the pod list was confirmed \((ContinuousClock.now - last).components.seconds) s ago"
    }

    private var credentialsProblem: String? {
        guard let end = credentials.latest.notAfter, end <= .now() else { return nil }
        return "the node's client certificate has expired"
    }
}
