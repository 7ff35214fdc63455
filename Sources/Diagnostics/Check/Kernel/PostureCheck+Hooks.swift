import Attribution
import BPF
import Operations
import Settings

extension PostureCheck {
    func hookItems(
        _ hooks: [InstalledHook], _ layout: CgroupLayoutFinding, isInstalled: Bool
    ) -> [Posture.Item] {
        var items = hooks.map { hook in
            guard isInstalled else { return Posture.Item("hooks.\(hook.name)", .unknown, "not installed") }
            return item(hook, layout)
        }
        if isInstalled { items.append(settings(layout)) }
        return items
    }

    /// The cgroup of a hook: kubepods for the guard of pods' sockets, so that no other packet pays for it; the root for
    /// the others, because a socket's hooks are those of the cgroup that it was made in.
    static func place(of hook: InstalledHook, _ layout: CgroupLayoutFinding) -> (id: CgroupID?, name: String) {
        hook.name == "egress"
            ? (layout.kubepods?.id, "the kubepods cgroup")
            : (layout.cgroups.flatMap { $0.id(of: [UInt8]("/".utf8)) }, "the root of the hierarchy")
    }

    private func item(_ hook: InstalledHook, _ layout: CgroupLayoutFinding) -> Posture.Item {
        let id = "hooks.\(hook.name)"
        let place = Self.place(of: hook, layout)
        let (worst, meaning): (Posture.State, String) =
            switch hook.role {
            case .protection:
                (
                    .unsafe,
                    "Pods can reach protected addresses past it. Restart the agent: it attaches what is missing."
                )
            case .service:
                (.degraded, "Pods are refused, or see the agent's own address. Restart the agent.")
            }
        switch hook.state {
        case .missing: return Posture.Item(id, worst, "there is no pin \(hook.pin)", meaning: meaning)
        case .severed:
            return Posture.Item(id, worst, "pinned at \(hook.pin), but its cgroup is gone", meaning: meaning)
        case .unreadable(let error): return Posture.Item(id, .unknown, "\(error)")
        case .attached(let program, let cgroup):
            let identity =
                program.identity.map { "\($0.name), tag \($0.tag)" } ?? "(its name needs CAP_SYS_ADMIN to be read)"
            let found = "program \(program.id) \(identity), pinned at \(hook.pin)"
            guard let root = place.id else {
                return Posture.Item(id, .unknown, found + ", attached to cgroup \(cgroup.rawValue)")
            }
            guard cgroup == root else {
                return Posture.Item(
                    id, worst, found + ", attached to cgroup \(cgroup.rawValue) and not to \(place.name)",
                    meaning: meaning)
            }
            guard program.identity.map(hook.runs) ?? true else {
                return Posture.Item(
                    id, worst, found, meaning: "This is not the agent's program. " + meaning)
            }
            return Posture.Item(id, .ok, found)
        }
    }

    /// Whether the programs compare with the kubepods cgroup that is there now.
    private func settings(_ layout: CgroupLayoutFinding) -> Posture.Item {
        let id = "hooks.kubepods"
        do throws(BPFError) {
            let known = try PinnedMaps(below: pins).kubepods()
            guard let kubepods = layout.kubepods, let root = layout.root else {
                return Posture.Item(id, .unknown, "the programs know cgroup \(known?.id.rawValue ?? 0) as kubepods")
            }
            guard known?.id == kubepods.id, known?.level == kubepods.level else {
                return Posture.Item(
                    id, .unsafe,
                    "the programs take cgroup \(known?.id.rawValue ?? 0) for kubepods; \(root) is \(kubepods.id.rawValue)",
                    meaning: "Pods below \(root) are not redirected. Restart the agent, and compare cgroup.kubepods.")
            }
            return Posture.Item(id, .ok, "the programs know \(root), cgroup \(kubepods.id.rawValue)")
        } catch {
            return Posture.Item(id, .unknown, "\(error)")
        }
    }

    func guards(
        _ hooks: [InstalledHook], _ layout: CgroupLayoutFinding, isInstalled: Bool
    ) -> [Posture.Item] {
        var items: [Posture.Item] = []
        if !isInstalled {
            items.append(Posture.Item("guards.egress", .unknown, "not installed"))
            items.append(Posture.Item("guards.host", .unknown, "not installed"))
        } else {
            if let egress = hooks.first(where: { $0.name == "egress" }) {
                var item = item(egress, layout)
                item.id = "guards.egress"
                if item.state == .ok { item.found = "raw sockets, and connections older than the hooks, are dropped" }
                items.append(item)
            }
            items.append(hostGuard())
        }
        let endpoints =
            configuration.redirectEndpoints.map(\.text) + configuration.protectedEndpoints.map(\.text)
        items.append(Posture.Item("guards.endpoints", .ok, "protected: \(endpoints.joined(separator: ", "))"))
        if isInstalled { items.append(policies(layout)) }
        return items
    }

    private func hostGuard() -> Posture.Item {
        let id = "guards.host"
        do throws(BPFError) {
            switch try HostGuard.installed(below: pins) {
            case .bpf: return Posture.Item(id, .ok, "frames that pods write themselves are dropped by BPF")
            case .nftables:
                return Posture.Item(
                    id, .ok, "frames that pods write themselves are dropped by the nftables table inet podidentd",
                    meaning: "Pods that policy lets through to the machine's own metadata server are dropped as well."
                )
            case nil:
                return Posture.Item(
                    id, configuration.requiresHostGuard ? .unsafe : .degraded,
                    "nothing guards the node's network namespace",
                    meaning: "Pods with CAP_NET_RAW and sandboxed pods can reach protected addresses by frames that "
                        + "they write themselves. Restart the agent: its log says what it lacks. guard.require-host "
                        + "makes it refuse to run without.")
            }
        } catch {
            return Posture.Item(id, .unknown, "\(error)")
        }
    }

    private func policies(_ layout: CgroupLayoutFinding) -> Posture.Item {
        let id = "guards.policies"
        do throws(BPFError) {
            let policies = try PinnedMaps(below: pins).policies()
            func paths(_ policy: PodPolicy) -> [String] {
                policies.filter { $0.policy == policy }.map { pod, _ in
                    layout.cgroups?.path(of: pod).map { String(decoding: $0, as: UTF8.self) }
                        ?? "cgroup \(pod.rawValue)"
                }.sorted()
            }
            let (passing, denied) = (paths(.passthrough), paths(.deny))
            guard !policies.isEmpty else {
                return Posture.Item(id, .ok, "no pod is excepted: all are redirected to the agent")
            }
            var found: [String] = []
            if !passing.isEmpty { found.append("let through: \(passing.joined(separator: ", "))") }
            if !denied.isEmpty { found.append("refused: \(denied.joined(separator: ", "))") }
            return Posture.Item(
                id, .ok, found.joined(separator: "; "),
                meaning: passing.isEmpty ? "" : "The former reach the machine's own metadata server, by configuration.")
        } catch {
            return Posture.Item(id, .unknown, "\(error)")
        }
    }
}

extension ProtectedEndpoint {
    /// The endpoint as it is configured.
    var text: String {
        let host = address.text
        guard let port else { return host }
        return (host.contains(":") ? "[\(host)]" : host) + ":\(port)"
    }
}
