import Attribution
import BPF
import Enforcement
import Operations
import Settings

extension PostureCheck {
    /// The oldest kernel on which the kernel ring passes: docs/operate/kernels.md.
    private static let oldest = (major: 5, minor: 10)
    private static let oldestText = "\(oldest.major).\(oldest.minor)"

    func kernel(_ features: KernelFeatures) -> [Posture.Item] {
        var items = [Self.version(features.release, features.version)]
        items += features.programTypes.map { name, presence in
            item(
                "kernel.program." + (name.split(whereSeparator: { !$0.isLetter && $0 != "_" }).joined(separator: "-")),
                presence, .degraded, "programs of type \(name)",
                without: "The agent cannot start on this kernel: it needs Linux \(Self.oldestText) with "
                    + "CONFIG_CGROUP_BPF."
            )
        }
        items.append(
            item(
                "kernel.set-retval", features.setReturnValue, .degraded, "bpf_set_retval (Linux 5.18)",
                without: "Pods that are refused see EPERM in place of ECONNREFUSED."))
        items.append(
            item(
                "kernel.socket-cgroup", features.socketCgroup, .degraded,
                "cgroup of a socket's creator (Linux 5.15)",
                without: "The check that a socket's creator is its caller is left out. A socket that another pod made "
                    + "and passed on has the identity of the pod that connects it."))
        items.append(
            item(
                "kernel.btf", features.btf, .degraded, "BTF (/sys/kernel/btf/vmlinux)",
                without: "Cgroup events come by inotify. CONFIG_DEBUG_INFO_BTF brings tracepoints, which lose none."))
        items.append(
            item(
                "kernel.cgroup-events", features.typedTracepoints, .degraded,
                "tracepoints with types (tp_btf), which report new cgroups and executions",
                without: "Inotify reports cgroups: later, and with a walk of the hierarchy when events are lost. "
                    + "The first connection in each network namespace waits a second for its listener."))
        items.append(namespaces(features))
        items.append(netfilter(features))
        items.append(interfaces(features))
        items.append(
            pins.isOnBPFFileSystem
                ? Posture.Item("kernel.bpf-file-system", .ok, "\(pins.path) is on a BPF file system")
                : Posture.Item(
                    "kernel.bpf-file-system", .degraded, "\(pins.path) is not on a BPF file system",
                    meaning: "The agent cannot start. Run 'mount -t bpf bpf /sys/fs/bpf', or set bpf.pin-directory."))
        return items
    }

    static func version(_ release: String, _ version: (major: Int, minor: Int)?) -> Posture.Item {
        guard let version else { return Posture.Item("kernel.version", .unknown, "Linux \(release)") }
        guard version < oldest else {
            return Posture.Item("kernel.version", .ok, "Linux \(release), \(oldestText) or later")
        }
        return Posture.Item(
            "kernel.version", .degraded, "Linux \(release)",
            meaning: "Linux \(oldestText) is the oldest on which the agent was tried.")
    }

    private func netfilter(_ features: KernelFeatures) -> Posture.Item {
        let id = "kernel.netfilter"
        if features.netfilterLinks == .present {
            return Posture.Item(id, .ok, "BPF netfilter links (Linux 6.4) for the host guard")
        }
        if features.nftables == .present {
            return Posture.Item(
                id, .ok, "no BPF netfilter links (Linux 6.4), but nftables for the host guard",
                meaning: "It knows no pods: those that policy lets through to the machine's own metadata server are "
                    + "dropped as well.")
        }
        return item(
            id, features.nftables, .degraded, "BPF netfilter links (Linux 6.4) or nftables, for the host guard",
            without: "Frames that pods with CAP_NET_RAW or sandboxed pods write themselves are not blocked. Load the "
                + "module nf_tables.")
    }

    /// Reports by which mechanism the opener finds the network namespaces of pods.
    private func namespaces(_ features: KernelFeatures) -> Posture.Item {
        let id = "kernel.namespace-handles"
        return switch features.namespaceHandles {
        case .present:
            Posture.Item(id, .ok, "handles of namespaces (nsfs, Linux 6.18): the opener needs no process to find one")
        case .absent:
            Posture.Item(
                id, .ok, "no handles of namespaces (nsfs, Linux 6.18): the opener finds one by a process in it",
                meaning: "It needs CAP_SYS_PTRACE and the node's PID namespace (hostPID) for that.")
        case .unknown:
            item(id, .unknown, .degraded, "handles of namespaces (nsfs, Linux 6.18)", without: "")
        }
    }

    private func interfaces(_ features: KernelFeatures) -> Posture.Item {
        let id = "kernel.interfaces"
        switch features.interfaceLinks {
        case .present:
            return Posture.Item(id, .ok, "programs at interfaces (tcx, Linux 6.6) for hostNetwork pods' frames")
        case .absent:
            // Whether that matters is for paths.host-network to say.
            return Posture.Item(id, .ok, "no programs at interfaces (tcx, Linux 6.6) for hostNetwork pods' frames")
        case .unknown:
            return item(
                id, .unknown, .degraded, "programs at interfaces (tcx, Linux 6.6)", without: "")
        }
    }

    private func item(
        _ id: String, _ presence: KernelFeatures.Presence, _ absent: Posture.State, _ what: String, without: String
    ) -> Posture.Item {
        switch presence {
        case .present: Posture.Item(id, .ok, what)
        case .absent: Posture.Item(id, absent, "no \(what)", meaning: without)
        case .unknown:
            Posture.Item(
                id, .unknown, "could not try: \(what)",
                meaning: "Trying needs root with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, and no lockdown.")
        }
    }

    func cgroups(_ layout: CgroupLayoutFinding) -> [Posture.Item] {
        var items: [Posture.Item] = []
        guard let cgroups = layout.cgroups else {
            return [
                Posture.Item(
                    "cgroups.mount", .degraded, layout.problem ?? "no cgroup v2 hierarchy",
                    meaning: "The agent cannot start without the host's cgroup v2 hierarchy.")
            ]
        }
        let isHybrid = (try? CgroupFileSystem.hasVersion1()) ?? false
        items.append(
            Posture.Item(
                "cgroups.mount", .ok,
                "cgroup v2 at \(cgroups.mountPoint)" + (isHybrid ? ", beside v1 hierarchies" : ""),
                meaning: isHybrid ? "Only v2 counts. The kubelet's kubepods cgroup must be there too." : ""))
        let candidates = KubepodsSearch.candidates(in: cgroups)
            .map { "\($0.root.description) \($0.exists ? "is there" : "is not there")" }.joined(separator: ", ")
        if let root = layout.root {
            let source = configuration.kubepods == nil ? "found" : "configured"
            items.append(
                Posture.Item(
                    "cgroups.kubepods", .ok, "\(root) (\(source)); the defaults: \(candidates)"))
            items.append(
                Posture.Item("cgroups.driver", .ok, "\(root.driver.rawValue), by the name of the kubepods cgroup"))
        } else {
            items.append(
                Posture.Item(
                    "cgroups.kubepods", .degraded, layout.problem ?? "no kubepods cgroup",
                    meaning: "Without it no process is a pod's. Is this a Kubernetes node, and the kubelet running?"))
        }
        return items
    }
}
