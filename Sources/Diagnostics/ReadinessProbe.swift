import BPF
package import Enforcement
package import KubernetesAPI
package import Operations
import UpstreamHTTP

/// Answers whether the agent can do its work.
package struct ReadinessProbe: Sendable {
    let datapath: AttachedDatapath
    let watcher: PodWatcher
    let credentials: NodeCredentials
    let proof: ConnectionProof
    package let arrivals: ArrivalMonitor
    /// Whether the agent accepts connections.
    let isServing: @Sendable () -> Bool

    package init(
        datapath: AttachedDatapath, watcher: PodWatcher, credentials: NodeCredentials, proof: ConnectionProof,
        arrivals: ArrivalMonitor, isServing: @escaping @Sendable () -> Bool
    ) {
        self.datapath = datapath
        self.watcher = watcher
        self.credentials = credentials
        self.proof = proof
        self.arrivals = arrivals
        self.isServing = isServing
    }

    /// The time of two missed bookmarks, and the time that a new watch takes.
    static let freshness = Duration.seconds(150)

    package var readiness: Readiness {
        Readiness([
            Readiness.Condition("hooks", problem: hooksProblem),
            Readiness.Condition("pods", problem: podsProblem),
            Readiness.Condition("credentials", problem: credentialsProblem),
            connection,
            Readiness.Condition("arrivals", problem: arrivalsProblem),
        ])
    }

    /// The time of three missed attempts: whatever made them stop has made the proof worthless.
    private static let proofLifetime = Duration.seconds(45)

    /// The proof by a connection of the agent's own pod.
    var connection: Readiness.Condition {
        Self.connection(proof.podUID == nil ? nil : proof.current, at: .now)
    }

    /// Judges the proof at a moment; `nil`: there is none, because the agent runs in no pod.
    static func connection(
        _ status: ConnectionProof.Status?, at now: ContinuousClock.Instant
    ) -> Readiness.Condition {
        guard let status else {
            return Readiness.Condition("connection", problem: nil, remark: "not proven: pod-uid is not set")
        }
        guard let provenAt = status.provenAt else {
            return Readiness.Condition("connection", problem: status.problem ?? "not proven yet")
        }
        let age = now - provenAt
        guard status.failures < ConnectionProof.failuresMax, age < proofLifetime else {
            return Readiness.Condition(
                "connection",
                problem: status.problem ?? "last proven \(age.components.seconds) s ago")
        }
        return Readiness.Condition(
            "connection", problem: nil, remark: "answered with this pod's UID \(age.components.seconds) s ago")
    }

    /// One pod alone may have broken its own way, and does not make the node unready.
    private var arrivalsProblem: String? {
        let finding = arrivals.current
        guard finding.concernsNode, !finding.pods.isEmpty else { return nil }
        let names = arrivals.names(of: finding.pods)
        return "connections of \(names.prefix(3).joined(separator: ", "))\(names.count > 3 ? " and others" : "") are "
            + "redirected to the agent, none arrives, and none of any other pod has since: are listeners missing in the "
            + "pods' network namespaces? 'podidentd debug status' counts failures"
    }

    private var hooksProblem: String? {
        guard let datapath = datapath.current else { return "not attached yet" }
        let missing = datapath.missingHooks
        if !missing.isEmpty {
            return "detached by another process: \(missing.joined(separator: ", ")); restart the agent"
        }
        return isServing() ? nil : "attached, but connections are not accepted"
    }

    private var podsProblem: String? { Self.podsProblem(watcher.status, at: .now) }

    /// Why the view of the node's pods is not to be relied on at a moment; `nil`: it is.
    static func podsProblem(_ status: PodWatchStatus, at now: ContinuousClock.Instant) -> String? {
        if status.isFresh(within: freshness, at: now) { return nil }
        guard status.isSynced, let last = status.lastContact else { return "the pod list has not been read yet" }
        return "the pod list was confirmed \((now - last).components.seconds) s ago"
    }

    private var credentialsProblem: String? {
        guard let end = credentials.latest.notAfter, end <= .now() else { return nil }
        return "the node's client certificate has expired"
    }
}
