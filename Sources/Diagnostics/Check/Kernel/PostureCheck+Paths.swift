import Attribution
import BPF
import Netlink
import Operations
import Settings
import Text

/// Packets of pods that no guard sees, and what holds them back instead.
extension PostureCheck {
    func paths(_ features: KernelFeatures, _ layout: CgroupLayoutFinding, isInstalled: Bool) -> [Posture.Item] {
        let paths: NodePaths
        do throws(NetlinkError) {
            paths = try NodePaths(hostRoot: configuration.hostRoot)
        } catch {
            return [Posture.Item("paths.interfaces", .unknown, "\(error)")]
        }
        return [
            uplinks(paths, features, layout, isInstalled: isInstalled), bridges(paths), plugins(paths), cilium(paths),
        ]
    }

    func uplinks(
        _ paths: NodePaths, _ features: KernelFeatures, _ layout: CgroupLayoutFinding, isInstalled: Bool
    ) -> Posture.Item {
        let id = "paths.host-network"
        let pods = layout.cgroups.flatMap { cgroups in
            layout.root.map { HostNetworkPods(below: $0.path, in: cgroups) }
        }
        let count =
            pods.map { "\(counted($0.cgroups.count, "cgroup")) of hostNetwork pods with CAP_NET_RAW" }
            ?? "hostNetwork pods could not be counted"
        let unseen = pods.map(\.unseen) ?? 0
        let others = unseen > 0 ? ", and \(unseen) processes of other PID namespaces that could not be seen" : ""
        let found = count + others
        guard isInstalled else { return Posture.Item(id, .unknown, found + "; not installed") }
        let guarded = Set(pins.uplinks)
        let open = paths.interfaces.filter { UplinkGuard.isUplink($0) && !guarded.contains($0.index) }.map(\.name)
        let remedy =
            "Such a pod can send frames to the machine's own metadata server. Drop NET_RAW from hostNetwork pods that "
            + "need no ping: securityContext.capabilities.drop."
        guard features.interfaceLinks == .present else {
            let isHarmless = pods.map(\.cgroups.isEmpty) ?? false
            return Posture.Item(
                id, isHarmless ? .ok : .degraded, found + "; no guard of interfaces before Linux 6.6", meaning: remedy)
        }
        guard open.isEmpty else {
            return Posture.Item(
                id, .degraded, found + "; not guarded: \(open.joined(separator: ", "))",
                meaning: remedy + " The agent guards new interfaces within seconds; its log says what it lacks.")
        }
        return Posture.Item(
            id, .ok, found + "; guarded: \(counted(guarded.count, "interface"))",
            meaning: "Frames past the interface's queue (PACKET_QDISC_BYPASS, AF_XDP) pass no guard. " + remedy)
    }

    func bridges(_ paths: NodePaths) -> Posture.Item {
        let id = "paths.bridges"
        let bridges = paths.unseenBridges
        guard !bridges.isEmpty else {
            return Posture.Item(id, .ok, "no bridge carries pods' frames past netfilter")
        }
        let reason =
            paths.bridgesCallNetfilter == nil
            ? "the module br_netfilter is not loaded" : "net.bridge.bridge-nf-call-iptables is 0"
        return Posture.Item(
            id, .degraded, "\(bridges.joined(separator: ", ")) carries pods' frames past netfilter: \(reason)",
            meaning: "Pods with CAP_NET_RAW reach a metadata server on the same bridge by frames that they write "
                + "themselves. Load br_netfilter, and set net.bridge.bridge-nf-call-iptables and -ip6tables to 1.")
    }

    func plugins(_ paths: NodePaths) -> Posture.Item {
        let id = "paths.plugins"
        let kinds = ["ipvlan", "macvlan", "ipvtap", "macvtap"]
        let virtual = paths.interfaces.filter { kinds.contains($0.kind) }.map(\.name)
        guard !paths.directPlugins.isEmpty || !virtual.isEmpty else {
            return Posture.Item(id, .ok, "no container network gives pods an interface of their own")
        }
        return Posture.Item(
            id, .degraded,
            "pods may have interfaces of their own: \((paths.directPlugins + virtual).joined(separator: ", "))",
            meaning:
                "Frames from there pass no guard of the node's. Drop NET_RAW from such pods, or close the metadata "
                + "addresses in the network.")
    }

    func cilium(_ paths: NodePaths) -> Posture.Item {
        let id = "paths.cilium"
        let (isHere, usesHostRouting) = paths.cilium
        guard isHere, usesHostRouting != false else {
            return Posture.Item(id, .ok, isHere ? "Cilium, without BPF host routing" : "no BPF host routing")
        }
        return Posture.Item(
            id, .degraded,
            usesHostRouting == true ? "Cilium with BPF host routing" : "Cilium; its host routing could not be seen",
            meaning: "With BPF host routing packets of pods pass no netfilter, and so no guard but their sockets'. Set "
                + "bpf.hostLegacyRouting=true, or deny the metadata addresses by a CiliumClusterwideNetworkPolicy.")
    }
}
