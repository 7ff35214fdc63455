package import Attribution

/// The live cgroup-to-pod map, one row per cgroup that names a pod or one of its containers.
package struct CgroupDump: Codable, Sendable, Equatable {
    package struct Row: Codable, Sendable, Equatable {
        package enum State: String, Codable, Sendable {
            /// Connections from here get the pod's identity.
            case attributed
            /// The pod list does not show the pod yet (or no longer): connections are held, then refused.
            case unconfirmed
            /// The pod is in phase Succeeded or Failed: refused.
            case finished
            /// A static pod: it has no ServiceAccount, hence no identity.
            case staticPod = "static"
            /// The pod's policy is `deny`: the kernel refuses its connections.
            case denied
            /// The pod's policy is `passthrough`: its connections go to the machine's own metadata server.
            case passthrough
            /// No agent answers, so that the UID has not been compared with the pod list.
            case unverified
        }

        package var cgroupID: UInt64
        /// The path from the root of the hierarchy. Bytes that are not UTF-8 are replaced.
        package var path: String
        package var namespace: String?
        package var pod: String?
        package var uid: String
        package var container: String?
        package var serviceAccount: String?
        package var state: State
        /// Whether the pod is being deleted. It is served until its cgroup is gone.
        package var isTerminating: Bool
    }

    /// Empty if it is not known.
    package var node: String
    package var kubepods: String
    package var source: DumpSource
    package var rows: [Row]

    /// Joins the index with the pod list.
    package init(
        node: String, kubepods: String, source: DumpSource = .agent, entries: [CgroupIndexEntry],
        record: (PodUID) -> PodRecord?
    ) {
        self.node = node
        self.source = source
        self.kubepods = kubepods
        let rows = entries.map { entry in
            let pod = record(entry.uid)
            return Row(
                cgroupID: entry.id.rawValue,
                path: String(decoding: entry.path, as: UTF8.self),
                namespace: pod?.namespace,
                pod: pod?.name,
                uid: entry.uid.description,
                container: entry.containerID,
                serviceAccount: pod.flatMap { $0.serviceAccountName.isEmpty ? nil : $0.serviceAccountName },
                state: source == .agent ? State(of: pod) : .unverified,
                isTerminating: pod?.isTerminating ?? false
            )
        }
        // By pod for the reader; the entries' own order keeps a pod's cgroups together.
        self.rows = rows.enumerated().sorted { left, right in
            (left.element.namespace ?? "~", left.element.pod ?? "~", left.element.uid, left.offset)
                < (right.element.namespace ?? "~", right.element.pod ?? "~", right.element.uid, right.offset)
        }.map(\.element)
    }
}

private typealias State = CgroupDump.Row.State

extension CgroupDump.Row.State {
    fileprivate init(of pod: PodRecord?) {
        guard let pod else {
            self = .unconfirmed
            return
        }
        switch pod.policy {
        case .deny: self = .denied
        case .passthrough where !pod.phase.isTerminal: self = .passthrough
        case .passthrough, .attribute:
            if pod.staticPodConfigHash != nil {
                self = .staticPod
            } else {
                self = pod.phase.isTerminal ? .finished : .attributed
            }
        }
    }
}

/// The source of what a dump shows.
package enum DumpSource: String, Codable, Sendable {
    /// The running agent: pods have names.
    case agent
    /// Pinned maps and the cgroup file system: pods are known by their UIDs alone.
    case kernel
}
