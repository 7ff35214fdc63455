import Attribution
import BPF
import Glibc
import Operations

extension PostureCheck {
    /// What must become of a probe.
    private enum Expectation {
        /// The agent answers.
        case agent
        case refused
        /// Not our business: it leaves, wherever it goes.
        case open
    }

    private struct Trial {
        var id: String
        var probe: SocketProbe
        var expectation: Expectation
        /// The hooks without which the probe would reach whom no pod may reach.
        var needs: [String]
    }

    /// Tries from a cgroup below kubepods what a pod may and may not do. A probe whose hook is not in place is not made:
    /// it would be this command that reaches the machine's own metadata server.
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
                    "connections", .unknown, "not tried: the programs do not know \(root), so nothing is led away")
            ]
        }
        let hierarchy = cgroups.id(of: [UInt8]("/".utf8))
        let inPlace = Set(
            hooks.filter { hook in
                if case .attached(_, let cgroup) = hook.state { cgroup == hierarchy } else { false }
            }.map(\.name))
        var items: [Posture.Item] = []
        var trials: [Trial] = []
        for trial in self.trials {
            let missing = trial.needs.filter { !inPlace.contains($0) }
            if missing.isEmpty {
                trials.append(trial)
            } else {
                items.append(
                    Posture.Item(
                        trial.id, .unsafe, "not tried: the hook \(missing.joined(separator: " and ")) is missing",
                        meaning: "Nothing holds a pod's connection back."))
            }
        }
        do {
            let results = try await ProbeCgroup.run(trials.map(\.probe), below: root, in: cgroups, maps: maps)
            return zip(trials, results).map { judge($0, $1, isAgentUp: isAgentUp) } + items
        } catch {
            return [Posture.Item("connections", .unknown, "\(error)")] + items
        }
    }

    private var agents: [String] {
        let port = configuration.listenPort
        return [configuration.listenAddress, configuration.listenAddress6].compactMap { $0 }.map { address in
            let text = address.value.text
            return text.contains(":") ? "[\(text)]:\(port)" : "\(text):\(port)"
        }
    }

    private var trials: [Trial] {
        var trials: [Trial] = []
        func add(_ kind: SocketProbe.Kind, _ address: String, _ port: UInt16, _ expectation: Expectation) {
            let family = address.contains(":") ? "6" : "4"
            let hook =
                switch kind {
                case .connect: "connect\(family)"
                case .datagram: "sendmsg\(family)"
                case .raw: "egress"
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

    private func judge(_ trial: Trial, _ result: SocketProbeResult, isAgentUp: Bool) -> Posture.Item {
        let reason = unsafe String(cString: strerror(result.errorNumber))
        let number = result.errorNumber
        if [EAFNOSUPPORT, EADDRNOTAVAIL].contains(number) {
            return Posture.Item(trial.id, .ok, "this node has no such address family")
        }
        switch trial.expectation {
        case .open:
            if number == 0 { return Posture.Item(trial.id, .ok, "open, as DNS and NTP must be") }
            if [ENETUNREACH, EHOSTUNREACH].contains(number) {
                return Posture.Item(trial.id, .ok, "not held back; this node has no route there")
            }
            return Posture.Item(
                trial.id, .degraded, reason, meaning: "DNS and NTP at the metadata address must stay open to pods.")
        case .refused:
            if [ECONNREFUSED, EPERM, EACCES].contains(number) { return Posture.Item(trial.id, .ok, "refused") }
            if [ENETUNREACH, EHOSTUNREACH].contains(number) {
                return Posture.Item(
                    trial.id, .unknown, "\(reason): no route there, and nobody refused it",
                    meaning: "The kernel looks for a route before it asks the hooks, so nothing is proved.")
            }
            let found = number == 0 ? "nobody refused it" : reason
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
            return Posture.Item(
                trial.id, .degraded, reason, meaning: "Pods get no answer at this address, and reach nobody else.")
        }
        guard let remote = result.remote else {
            return Posture.Item(
                trial.id, .unknown, "connected, but the kernel's table of sockets does not say where to")
        }
        guard trial.probe.agents.contains(remote) else {
            return Posture.Item(
                trial.id, .unsafe,
                "led to \(remote), which is not the agent (\(trial.probe.agents.joined(separator: ", ")))",
                meaning:
                    "Pods may reach the machine's own metadata server. If the agent is configured differently from "
                    + "this command, run it with the agent's configuration.")
        }
        guard let status = result.status else {
            return Posture.Item(
                trial.id, .degraded, "led to the agent at \(remote), which reset the connection",
                meaning:
                    "The connection carried no tag: something between takes it over (a service mesh?), or the hook "
                    + "sockops does not run. 'podidentd debug status' counts such connections.")
        }
        return Posture.Item(
            trial.id, .ok, "led to the agent at \(remote), which knows that this is no pod (status \(status))")
    }
}
