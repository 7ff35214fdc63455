import Attribution
import BPF
import Glibc
import Linux
import NIOPosix
import Operations
import Settings

extension PostureCheck {
    /// The required outcome of a probe.
    enum Expectation {
        /// The agent answers.
        case agent
        case refused
        /// The connection leaves, wherever it goes: that is not our business.
        case open
    }

    struct Trial {
        var id: String
        var probe: SocketProbe
        var expectation: Expectation
        /// The hooks without which the probe would reach whom no pod may reach.
        var needs: [String]

        /// Whether the probe sends a packet without a connection, for which the kernel needs a route before it asks a hook.
        var isPacket: Bool {
            switch probe.kind {
            case .datagram, .raw: true
            case .connect: false
            }
        }
    }

    /// The place that the probes are made from, for the section's title.
    var probesFrom: String { configuration.podUID == nil ? "a cgroup below kubepods" : "this pod" }

    /// Tries what a pod may and may not do: from the own pod's cgroup where this command runs in the agent's pod (there
    /// the cgroups are mounted read-only), else from one made below kubepods.
    ///
    /// A probe whose hook is not in place is not made: it would be this command that reaches the machine's own metadata
    /// server.
    func connections(
        _ hooks: [InstalledHook], _ layout: CgroupLayoutFinding, isAgentUp: Bool, isInstalled: Bool
    ) async -> [Posture.Item] {
        guard isInstalled else { return [Posture.Item("connections", .unknown, "not installed")] }
        guard let cgroups = layout.cgroups, let root = layout.root, let kubepods = layout.kubepods else {
            return [Posture.Item("connections", .unknown, "not tried: there is no kubepods cgroup")]
        }
        let maps = PinnedMaps(below: pins)
        guard (try? maps.kubepods())??.id == kubepods.id else {
            return [
                Posture.Item(
                    "connections", .unknown, "not tried: the programs do not know \(root), so nothing is redirected")
            ]
        }
        var items: [Posture.Item] = []
        var trials: [Trial] = []
        for trial in self.trials {
            let obstacles = hooks.filter { trial.needs.contains($0.name) }.compactMap { hook in
                Self.obstacle(hook, Self.place(of: hook, layout).id).map {
                    Posture.Item(trial.id, $0.state, $0.found, meaning: $0.meaning)
                }
            }
            if obstacles.isEmpty { trials.append(trial) } else { items += obstacles.prefix(1) }
        }
        do {
            let report = try await run(trials.map(\.probe), below: root, in: cgroups, maps: maps)
            if let problem = report.problem {
                return [
                    Posture.Item(
                        "connections", .unsafe, "not tried: \(problem)",
                        meaning: "Pods may reach the machine's own metadata server.")
                ] + items
            }
            return zip(trials, report.results).map { judge($0, $1, isAgentUp: isAgentUp) } + items
        } catch {
            return [Posture.Item("connections", .unknown, "\(error)")] + items
        }
    }

    private func run(
        _ probes: [SocketProbe], below root: KubepodsRoot, in cgroups: CgroupFileSystem, maps: PinnedMaps
    ) async throws -> SocketProbeReport {
        guard configuration.podUID == nil else {
            return try await NIOThreadPool.singleton.runIfActive { ProbingProcess.report(probes) }
        }
        return try await ProbeCgroup.run(probes, below: root, in: cgroups, maps: maps)
    }

    /// Why a probe that needs this hook is not made; `nil`: the hook is in place.
    static func obstacle(
        _ hook: InstalledHook, _ place: CgroupID?
    ) -> (state: Posture.State, found: String, meaning: String)? {
        switch hook.state {
        case .attached(_, let cgroup) where cgroup == place: nil
        case .missing, .severed, .attached:
            (.unsafe, "not tried: the hook \(hook.name) is missing", "Nothing refuses a pod's connection.")
        case .unreadable(let error): (.unknown, "not tried: the hook \(hook.name) cannot be read: \(error)", "")
        }
    }

    /// The addresses at which the agent may listen in any network namespace, as `address:port`.
    var agents: [String] {
        ListenerPorts(first: configuration.listenPort).range.reversed().flatMap { ["127.0.0.1:\($0)", "[::1]:\($0)"] }
    }

    private var agentsText: String { "127.0.0.1 or [::1], port \(configuration.listenPort) or one of the seven below" }

    var trials: [Trial] {
        var trials: [Trial] = []
        func add(_ kind: SocketProbe.Kind, _ address: String, _ port: UInt16, _ expectation: Expectation) {
            let family = address.contains(":") ? "6" : "4"
            let hook =
                switch kind {
                case .connect: "connect\(family)"
                case .datagram, .raw: "egress"
                }
            let place = address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)"
            let verb = kind == .connect ? "tcp" : kind == .datagram ? "udp" : "raw"
            trials.append(
                Trial(
                    id: "connections.\(verb).\(place)",
                    probe: SocketProbe(
                        kind: kind, address: address, port: port, agents: expectation == .agent ? agents : []),
                    expectation: expectation, needs: expectation == .open ? [] : [hook]))
        }
        for endpoint in configuration.redirectEndpoints {
            let address = endpoint.value.text
            add(.connect, address, 80, .agent)
            if !address.contains(":") { add(.connect, "::ffff:\(address)", 80, .agent) }
            add(.connect, address, 443, .refused)
            add(.connect, address, 8080, .refused)
            add(.datagram, address, 80, .refused)
            add(.raw, address, 80, .refused)
            guard !address.contains(":") else { continue }
            add(.datagram, address, 53, .open)
            add(.datagram, address, 123, .open)
        }
        for endpoint in configuration.protectedEndpoints {
            add(.connect, endpoint.address.text, endpoint.port ?? 80, .refused)
        }
        return trials
    }

    func judge(_ trial: Trial, _ result: SocketProbeResult, isAgentUp: Bool) -> Posture.Item {
        let reason = errorText(result.errorNumber)
        let number = result.errorNumber
        if result.isUntried == true {
            return Posture.Item(
                trial.id, .untried, "this process may open no raw socket (CAP_NET_RAW)",
                meaning: "guards.egress says whether the hook that drops such packets is in place. Run "
                    + "'podidentd check' as root on the node to try it.")
        }
        if [EAFNOSUPPORT, EADDRNOTAVAIL].contains(number) {
            return Posture.Item(trial.id, .ok, "this node has no such address family")
        }
        switch trial.expectation {
        case .open:
            if number == 0 { return Posture.Item(trial.id, .ok, "open, as DNS and NTP must be") }
            if [ENETUNREACH, EHOSTUNREACH].contains(number) {
                return Posture.Item(trial.id, .ok, "not blocked; this node has no route there")
            }
            return Posture.Item(
                trial.id, .degraded, reason, meaning: "DNS and NTP at the metadata address must stay open to pods.")
        case .refused:
            if [ECONNREFUSED, EPERM, EACCES].contains(number) { return Posture.Item(trial.id, .ok, "refused") }
            if [ENETUNREACH, EHOSTUNREACH].contains(number), trial.isPacket {
                return Posture.Item(
                    trial.id, .untried, "this node has no route there, so no packet can leave",
                    meaning: "guards.egress says whether the hook that drops such packets is in place.")
            }
            if [ENETUNREACH, EHOSTUNREACH].contains(number) {
                return Posture.Item(
                    trial.id, .unknown, "\(reason): no route there, and the kernel did not refuse it",
                    meaning: "The kernel looks for a route before it asks the hooks, so nothing is proved.")
            }
            let found = number == 0 ? "the kernel did not refuse it" : reason
            return Posture.Item(
                trial.id, .unsafe, result.remote.map { "connected to \($0)" } ?? found,
                meaning: "A pod could do the same. Restart the agent, and compare guard.endpoints with what it runs.")
        case .agent:
            return judgeRedirect(trial, result, reason, isAgentUp: isAgentUp)
        }
    }

    private func judgeRedirect(
        _ trial: Trial, _ result: SocketProbeResult, _ reason: String, isAgentUp: Bool
    ) -> Posture.Item {
        guard result.errorNumber == 0 else {
            if result.errorNumber == ECONNREFUSED, !isAgentUp {
                return Posture.Item(trial.id, .ok, "refused, as it must be while no agent runs")
            }
            return Posture.Item(trial.id, .degraded, reason, meaning: unanswered(result.errorNumber))
        }
        guard let remote = result.remote else {
            return Posture.Item(
                trial.id, .unknown, "connected, but the kernel's table of sockets does not show the far end")
        }
        guard trial.probe.agents.contains(remote) else {
            return Posture.Item(
                trial.id, .unsafe,
                "redirected to \(remote), which is not the agent (\(agentsText))",
                meaning:
                    "Pods may reach the machine's own metadata server. If the agent is configured differently from "
                    + "this command, run it with the agent's configuration.")
        }
        guard let status = result.status else {
            return Posture.Item(
                trial.id, .degraded, "redirected to the agent at \(remote), which reset the connection",
                meaning:
                    "The connection carried no tag: the client's socket was not found at the other end, or its sequence "
                    + "numbers are others: something inside the namespace translates addresses. 'podidentd debug status' "
                    + "counts such connections (untagged, mismatched).")
        }
        if let uid = configuration.podUID { return judgeAnswer(trial.id, status, result.body, remote, uid) }
        return Posture.Item(
            trial.id, .ok,
            "redirected to the agent at \(remote), which knows that this cgroup is no pod's (status \(status))")
    }

    /// An answer to this pod, which must name it.
    private func judgeAnswer(
        _ id: String, _ status: Int, _ body: String?, _ remote: String, _ uid: PodUID
    ) -> Posture.Item {
        guard status == 200 else {
            return Posture.Item(
                id, .degraded, "redirected to the agent at \(remote), which answers \(status): \(body ?? "")",
                meaning: "Pods are answered in the same way. 'podidentd debug explain' says why, pod by pod.")
        }
        guard body == uid.description else {
            return Posture.Item(
                id, .unsafe,
                "redirected to \(remote), which takes this pod (\(uid)) for \(body ?? "none")",
                meaning: "Either another process answers there, or pods are taken for each other. Stop the agent.")
        }
        return Posture.Item(
            id, .ok, "redirected to the agent at \(remote), which answers with this pod's own UID \(uid)")
    }

    /// Explains the error number of a redirected connection that failed.
    private func unanswered(_ number: Int32) -> String {
        let consequence = "Pods get no answer at this address, and reach no other server."
        return switch number {
        case ETIMEDOUT:
            "\(consequence) The connection was redirected to \(agentsText) and never accepted: does a filter of this network "
                + "namespace (nftables, iptables: input, output) drop what stays on the interface lo?"
        case ECONNREFUSED: "\(consequence) Nothing listens at \(agentsText): restart the agent, and see its log."
        default: consequence
        }
    }
}
