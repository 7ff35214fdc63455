import Foundation

/// Everything the emulated cluster knows, as a value: changes are mutating functions, decisions are pure.
struct ClusterState: Sendable {
    typealias ServiceAccountKey = LabPod.Key

    /// One change of a pod, kept for watches that resume.
    struct Change: Sendable {
        var resourceVersion: UInt64
        /// The pod before; `nil` when it was created.
        var before: LabPod?
        /// The pod after; `nil` when it was deleted.
        var after: LabPod?
    }

    /// Changes kept for resuming watches. Older resourceVersions are answered with 410, as after a compaction.
    static let historyLimit = 4096

    var options: KubernetesEmulator.Options
    private(set) var resourceVersion: UInt64 = 1
    /// Watches can resume from here on.
    private(set) var oldestWatchable: UInt64 = 1
    /// Exact lists can be served from here on.
    private(set) var compacted: UInt64 = 0
    private(set) var history: [Change] = []
    private(set) var pods: [LabPod.Key: LabPod] = [:]
    private(set) var serviceAccounts: [ServiceAccountKey: LabServiceAccount] = [:]
    private(set) var nodes: [String: LabNodeObject] = [:]
    private(set) var audienceRules: [AudienceRule] = []
    private(set) var grants: [AccessGrant] = []
    private(set) var taintFence: TaintFence?
    /// The time until which the Node authorizer's graph is not built: "no relationship found", although the pod is
    /// there.
    private(set) var relationshipsKnownFrom = Date.distantPast

    init(options: KubernetesEmulator.Options) {
        self.options = options
    }

    /// The next resource version.
    mutating func nextVersion() -> UInt64 {
        resourceVersion += 1
        return resourceVersion
    }

    // MARK: - Nodes and ServiceAccounts

    mutating func setNode(_ node: LabNodeObject) {
        resourceVersion += 1
        var node = node
        node.resourceVersion = resourceVersion
        nodes[node.name] = node
    }

    mutating func setServiceAccount(_ key: ServiceAccountKey, uid: String, annotations: [String: String], now: Date) {
        resourceVersion += 1
        serviceAccounts[key] = LabServiceAccount(
            namespace: key.namespace,
            name: key.name,
            uid: uid,
            annotations: annotations,
            creationTimestamp: now,
            resourceVersion: resourceVersion
        )
    }

    mutating func annotateServiceAccount(_ key: ServiceAccountKey, _ name: String, _ value: String?) {
        guard serviceAccounts[key] != nil else { return }
        resourceVersion += 1
        serviceAccounts[key]?.annotations[name] = value
        serviceAccounts[key]?.resourceVersion = resourceVersion
    }

    mutating func removeServiceAccount(_ key: ServiceAccountKey) {
        resourceVersion += 1
        serviceAccounts[key] = nil
    }

    // MARK: - Pods

    /// Creates or replaces a pod, and returns the change with its resourceVersion.
    mutating func setPod(_ pod: LabPod) -> Change {
        resourceVersion += 1
        var pod = pod
        pod.resourceVersion = resourceVersion
        return append(
            Change(resourceVersion: resourceVersion, before: pods.updateValue(pod, forKey: pod.key), after: pod))
    }

    mutating func removePod(_ key: LabPod.Key) -> Change? {
        guard let pod = pods.removeValue(forKey: key) else { return nil }
        resourceVersion += 1
        return append(Change(resourceVersion: resourceVersion, before: pod, after: nil))
    }

    private mutating func append(_ change: Change) -> Change {
        history.append(change)
        while history.count > Self.historyLimit {
            oldestWatchable = history.removeFirst().resourceVersion
        }
        return change
    }

    // MARK: - Server life

    /// Compacts away everything before now: older resourceVersions give 410, for watches and for exact lists.
    mutating func compact() {
        oldestWatchable = resourceVersion
        compacted = resourceVersion
        history = []
    }

    /// A restarted API server: its watch cache begins now, and its authorizer knows no pods for a moment.
    mutating func restart(now: Date) {
        oldestWatchable = resourceVersion
        history = []
        relationshipsKnownFrom = now.addingTimeInterval(options.relationshipDelay / .seconds(1))
    }

    // MARK: - RBAC

    mutating func allow(_ rule: AudienceRule) {
        audienceRules.append(rule)
    }

    mutating func grant(_ more: [AccessGrant]) {
        grants += more
    }

    mutating func revokeGrants() {
        grants = []
    }

    mutating func setTaintFence(_ fence: TaintFence) {
        taintFence = fence
    }

    mutating func revokeAudiences(where isRevoked: (AudienceRule) -> Bool) {
        audienceRules.removeAll(where: isRevoked)
    }

    /// The pods as they were at `version`, by undoing what happened since.
    func pods(at version: UInt64) -> [LabPod.Key: LabPod] {
        history.reversed().prefix { $0.resourceVersion > version }.reduce(into: pods) { pods, change in
            guard let key = change.after?.key ?? change.before?.key else { return }
            pods[key] = change.before
        }
    }
}

/// An RBAC rule with the verb `request-serviceaccounts-token-audience`.
struct AudienceRule: Sendable, Equatable {
    /// The resource: an audience, or `*`.
    var audience: String
    /// The namespace of a Role; `nil`: a ClusterRole.
    var namespace: String?
    /// `resourceNames`; `nil`: every ServiceAccount.
    var serviceAccounts: Set<String>?
    /// The user `system:node:NAME`; `nil`: the group `system:nodes`.
    var nodeName: String?

    func allows(_ user: KubernetesUser, audience: String, serviceAccount: ClusterState.ServiceAccountKey) -> Bool {
        (self.audience == "*" || self.audience == audience)
            && (namespace == nil || namespace == serviceAccount.namespace)
            && (serviceAccounts?.contains(serviceAccount.name) ?? true)
            && (nodeName.map { user.name == "system:node:\($0)" } ?? user.groups.contains("system:nodes"))
    }
}
