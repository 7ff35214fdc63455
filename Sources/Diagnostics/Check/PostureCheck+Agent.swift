import BPF
import FoundationEssentials
import Operations
import Settings
import Text

extension PostureCheck {
    struct AgentFinding {
        var isUp: Bool
        var items: [Posture.Item]
    }

    /// The longest wait for an answer: longer than a healthy agent ever takes.
    static let patience = Duration.seconds(5)
    /// Bookmarks come every 60 s; the agent itself gives up a watch after 90.
    private static let silenceSecondsMax: Int64 = 120
    /// A watch that the API server ends is opened again within a second or two.
    private static let reopeningMax: Int64 = 5

    func agentFinding(isInstalled: Bool) async -> AgentFinding {
        let path = configuration.adminSocket
        let status: AgentStatus
        do {
            let data = Data(
                try await Self.within(Self.patience) { try await AdminClient(socketPath: path).get("/debug/status") })
            status = try JSONDecoder().decode(AgentStatus.self, from: data)
        } catch {
            let item = Posture.Item(
                "agent.reachable", isInstalled ? .degraded : .unknown, "\(error)",
                meaning: unreachableMeaning(isInstalled: isInstalled))
            return AgentFinding(isUp: false, items: [item])
        }
        var items = [Posture.Item("agent.reachable", .ok, "answers at \(path), as node \(status.node)")]
        items.append(
            status.version == AgentVersion.current
                ? Posture.Item("agent.version", .ok, status.version)
                : Posture.Item(
                    "agent.version", .degraded, "the agent is \(status.version), this command \(AgentVersion.current)",
                    meaning: "Judge it by a command of its own version."))
        items += await readiness(status)
        items.append(watch(status))
        if let outages = status.upstreamOutages { items.append(upstreams(outages)) }
        if let pods = status.podsNotArriving { items.append(arrivals(pods)) }
        return AgentFinding(isUp: true, items: items)
    }

    /// The sentence that says what it means to pods that nothing answers at `admin.socket`.
    private func unreachableMeaning(isInstalled: Bool) -> String {
        guard isInstalled else { return "It is to be expected before the installation." }
        guard let holder = PinLock(existing: pins)?.holder else {
            return "The hooks outlive it: pods that ask for credentials are refused until it runs."
        }
        return "An agent runs (PID \(holder) holds \(pins.path)) and may serve pods, but not at this path: name its "
            + "admin.socket, or restart it if its socket was removed."
    }

    /// Whether the agent is ready, and what that rests on.
    private func readiness(_ status: AgentStatus) async -> [Posture.Item] {
        let path = configuration.adminSocket
        let report: ReadinessReport
        do {
            let data = Data(
                try await Self.within(Self.patience) { try await AdminClient(socketPath: path).get("/debug/ready") })
            report = try JSONDecoder().decode(ReadinessReport.self, from: data)
        } catch {
            return [Posture.Item("agent.ready", .unknown, "\(error)")]
        }
        var items = [
            report.problems.isEmpty
                ? Posture.Item(
                    "agent.ready", .ok,
                    "serves, with \(counted(status.hooks.count, "hook")) and \(counted(status.pods, "pod"))")
                : Posture.Item(
                    "agent.ready", .degraded, "not ready: \(report.problems.joined(separator: "; "))",
                    meaning: "Pods may get no answer. 'podidentd debug explain NAMESPACE/POD' says it for one pod.")
        ]
        if let remark = (report.remarks ?? []).first(where: { $0.hasPrefix(Self.connectionPrefix) }) {
            items.append(ownConnection(String(remark.dropFirst(Self.connectionPrefix.count)), report))
        }
        return items
    }

    private static let connectionPrefix = "connection: "

    private func ownConnection(_ remark: String, _ report: ReadinessReport) -> Posture.Item {
        let id = "agent.connection"
        guard report.podUID != nil else {
            return Posture.Item(
                id, .untried, remark,
                meaning: "The agent does not know its own pod's UID, so it makes no connection as that pod. The "
                    + "manifests set pod-uid; without it, only the connections above show the redirect.")
        }
        return Posture.Item(id, .ok, "its own connection through the hooks: \(remark)")
    }

    private func upstreams(_ outages: [String: String]) -> Posture.Item {
        let id = "agent.upstreams"
        guard !outages.isEmpty else {
            return Posture.Item(id, .ok, "every upstream has answered the latest call to it, or was not called yet")
        }
        let found = outages.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
        return Posture.Item(
            id, .degraded, "the latest call got no usable answer: \(found.joined(separator: "; "))",
            meaning: "Pods get no new tokens; those that they have are served to their end. 'podidentd check --online' "
                + "tries Google's services now.")
    }

    private func arrivals(_ pods: [String]) -> Posture.Item {
        let id = "agent.arrivals"
        guard !pods.isEmpty else {
            return Posture.Item(id, .ok, "what the kernel redirects to the agent arrives there, pod by pod")
        }
        return Posture.Item(
            id, .degraded,
            "redirected to the agent, and none arrives: connections of \(pods.prefix(10).joined(separator: ", "))",
            meaning:
                "They do not leave the pod's network namespace: a filter inside it drops what stays on the interface lo, "
                + "or a mesh in the pod takes them (docs/operate/mesh.md).")
    }

    private func watch(_ status: AgentStatus) -> Posture.Item {
        let id = "agent.watch"
        guard status.podsSynced, let silence = status.podWatchSilentSeconds else {
            return Posture.Item(
                id, .degraded, status.podWatchError ?? "the API server has not shown this node's pods yet",
                meaning: "No pod is confirmed: all are held, then refused.")
        }
        guard silence <= Self.silenceSecondsMax else {
            return Posture.Item(
                id, .degraded, "nothing from the API server for \(silence) s: \(status.podWatchError ?? "no error")",
                meaning: "Known pods are served; new ones are held, then refused.")
        }
        if status.isWatchingPods == false, silence > Self.reopeningMax {
            return Posture.Item(
                id, .degraded, "no watch is open, for \(silence) s now: \(status.podWatchError ?? "no error")",
                meaning: "The agent does not see new pods, changes and deletions. Known pods are served.")
        }
        return Posture.Item(id, .ok, "complete, and confirmed \(silence) s ago")
    }

    static func within<Value: Sendable>(
        _ limit: Duration, _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        try await withThrowingTaskGroup(of: Value.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await Task.sleep(for: limit)
                throw AgentError("no answer within \(limit)")
            }
            defer { group.cancelAll() }
            guard let value = try await group.next() else { throw CancellationError() }
            return value
        }
    }
}
