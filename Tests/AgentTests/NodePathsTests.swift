import Attribution
import Foundation
import Netlink
import Operations
import Testing

@testable import BPF
@testable import Diagnostics

/// Ways of pods' packets that pass no guard, by what a node's files and interfaces say.
@Suite struct NodePathsTests {
    private static func interface(
        _ index: UInt32, _ name: String, _ kind: String = "", master: UInt32 = 0, hasAddress: Bool = false
    ) -> NetworkInterface {
        NetworkInterface(index: index, name: name, type: 1, kind: kind, master: master, hasAddress: hasAddress)
    }

    private static let bridged = [
        interface(2, "eth0", hasAddress: true), interface(3, "cni0", "bridge", hasAddress: true),
        interface(4, "veth4", "veth", master: 3), interface(5, "docker0", "bridge"), interface(6, "veth6", "veth"),
        interface(7, "dummy7", "dummy", master: 5),
    ]

    @Test func `a bridge of pods is seen by netfilter alone where the node says so`() async throws {
        let check = try await PostureCheck.of()
        for (calls, state, words) in [
            (nil, Posture.State.degraded, "cni0 carries pods' frames past netfilter: the module br_netfilter is not"),
            (false, .degraded, "cni0 carries pods' frames past netfilter: net.bridge.bridge-nf-call-iptables is 0"),
            (true, .ok, "no bridge"),
        ] as [(Bool?, Posture.State, String)] {
            let item = check.bridges(NodePaths(interfaces: Self.bridged, bridgesCallNetfilter: calls))
            #expect(item.state == state && item.found.hasPrefix(words), "\(item)")
        }
        let alone = Self.bridged.filter { $0.name != "veth4" }
        #expect(check.bridges(NodePaths(interfaces: alone, bridgesCallNetfilter: nil)).state == .ok)
    }

    @Test func `host routing that cannot be seen is not taken for absent`() async throws {
        let check = try await PostureCheck.of()
        let here = [Self.interface(2, "cilium_host")]
        for (interfaces, file, state, found) in [
            ([], nil, .ok, "no BPF host routing"),
            (here, nil, .degraded, "Cilium; its host routing could not be seen"),
            (here, "#define ENABLE_IPV4 1", .ok, "Cilium, without BPF host routing"),
            (here, "#define ENABLE_HOST_ROUTING 1", .degraded, "Cilium with BPF host routing"),
            ([], "#define ENABLE_HOST_ROUTING 1", .degraded, "Cilium with BPF host routing"),
        ] as [([NetworkInterface], String?, Posture.State, String)] {
            let paths = NodePaths(interfaces: interfaces, bridgesCallNetfilter: nil, ciliumConfiguration: file)
            let item = check.cilium(paths)
            #expect(item.state == state && item.found == found)
        }
    }

    @Test func `plug-ins and interfaces that pass the node's stack are named`() async throws {
        let check = try await PostureCheck.of()
        var paths = NodePaths(interfaces: Self.bridged, bridgesCallNetfilter: true)
        #expect(check.plugins(paths).state == .ok)
        paths.interfaces.append(Self.interface(9, "mv0", "macvlan"))
        paths.directPlugins = ["sriov"]
        let item = check.plugins(paths)
        #expect(item.state == .degraded && item.found.hasSuffix("interfaces of their own: sriov, mv0"))
    }

    @Test func `a node is read below its root: types of plug-ins, however they are written, and Cilium's file`() throws
    {
        let root = FileManager.default.temporaryDirectory.path + "/node-\(UUID().uuidString.prefix(8))"
        defer { try? FileManager.default.removeItem(atPath: root) }
        func write(_ text: String, to path: String) throws {
            let file = URL(filePath: root + path)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: file)
        }
        let empty = try NodePaths(hostRoot: root)
        #expect(empty.directPlugins == [] && empty.ciliumConfiguration == nil)
        #expect(empty.interfaces.contains { $0.name == "lo" && $0.type == 772 })
        try write(#"{"plugins": [{ "type" : "host-device" }, {"type":"portmap"}]}"#, to: "/etc/cni/net.d/10-a.conflist")
        try write("{\"type\":\n\t\"macvlan\", \"name\": \"ipvlan\"}", to: "/etc/cni/net.d/20-b.conf")
        try write(#"{"type":"sriov"}"#, to: "/etc/cni/net.d/.hidden")
        try write("#define A 1", to: "/var/run/cilium/state/globals/node_config.h")
        let paths = try NodePaths(hostRoot: root)
        #expect(paths.directPlugins == ["macvlan", "host-device"])
        #expect(paths.ciliumConfiguration == "#define A 1")
    }

    private static func features(_ interfaceLinks: KernelFeatures.Presence) -> KernelFeatures {
        KernelFeatures(
            release: "6.12.0", btf: .present, programTypes: [], setReturnValue: .present, socketCgroup: .present,
            netfilterLinks: .present, nftables: .present, interfaceLinks: interfaceLinks, typedTracepoints: .present,
            namespaceHandles: .absent)
    }

    @Test func `each interface that a pod's frames may leave by is guarded, or named`() async throws {
        let pins = FileManager.default.temporaryDirectory.path + "/pins-\(UUID().uuidString.prefix(8))"
        defer { try? FileManager.default.removeItem(atPath: pins) }
        try FileManager.default.createDirectory(atPath: pins + "/links", withIntermediateDirectories: true)
        let check = try await PostureCheck.of("bpf.pin-directory=\(pins)")
        let layout = CgroupLayoutFinding(check.configuration)
        let paths = NodePaths(
            interfaces: [
                Self.interface(2, "eth0", hasAddress: true), Self.interface(3, "veth3", "veth"),
                Self.interface(4, "eth1", "veth", hasAddress: true),
            ], bridgesCallNetfilter: nil)
        func item(_ links: KernelFeatures.Presence = .present, isInstalled: Bool = true) -> Posture.Item {
            check.uplinks(paths, Self.features(links), layout, isInstalled: isInstalled)
        }
        #expect(item().state == .degraded && item().found.hasSuffix("; not guarded: eth0, eth1"))
        try Data().write(to: URL(filePath: pins + "/links/uplink-2"))
        try Data().write(to: URL(filePath: pins + "/links/connect4"))
        #expect(item().state == .degraded && item().found.hasSuffix("; not guarded: eth1"))
        try Data().write(to: URL(filePath: pins + "/links/uplink-4"))
        #expect(item().state == .ok && item().found.hasSuffix("; guarded: 2 interfaces"))
        // Whether there are pods that could write frames is not known here.
        #expect(item(.absent).state == .degraded)
        #expect(item(isInstalled: false).state == .unknown)
    }
}

@Suite struct FrameProbeTests {
    @Test func `a pod writes frames by CAP_NET_RAW, and one with CAP_SYS_ADMIN needs none`() {
        func writes(_ permitted: String) -> Bool {
            HostNetworkPods.writesFrames(
                status:
                    "Name:\tCapPrm: x\nCapInh:\t0000000000002000\nCapPrm:\t\(permitted)\nCapEff:\t0000000000002000\n")
        }
        #expect(writes("0000000000002000") && writes("00000000a80425fb"))
        for permitted in ["0000000000000000", "00000000a80405fb", "000001ffffffffff", "nonsense"] {
            #expect(!writes(permitted), "\(permitted)")
        }
        #expect(!HostNetworkPods.writesFrames(status: ""))
    }

    @Test func `an IPv4 packet is a SYN that goes one hop, with a right header and a wrong segment`() {
        let packet = FrameProbe.packet(to: .ipv4(0xa9fe_a9fe), port: 0x0150)
        #expect(packet.count == 40 && packet[0] == 0x45 && packet[2...3] == [0, 40])
        // Hop limit 1, TCP; from an address of documentation.
        #expect(packet[8...9] == [1, 6] && packet[12..<20] == [192, 0, 2, 1, 169, 254, 169, 254])
        let sum = stride(from: 0, to: 20, by: 2).reduce(0) { $0 + Int(packet[$1]) << 8 + Int(packet[$1 + 1]) }
        #expect(sum % 0xffff == 0)
        #expect(packet[22...23] == [0x01, 0x50] && packet[33] == 0x02 && packet[36...37] == [0, 0])
    }

    @Test func `an IPv6 packet is the same`() {
        let packet = FrameProbe.packet(to: .ipv6(0xfd20_00ce_0000_0000, 0x254), port: 80)
        #expect(packet.count == 60 && packet[0] == 0x60 && packet[4...7] == [0, 20, 6, 1])
        #expect(packet[8...11] == [0x20, 0x01, 0x0d, 0xb8])
        #expect(packet[24...27] == [0xfd, 0x20, 0, 0xce] && packet[38...39] == [0x02, 0x54])
        #expect(packet[42...43] == [0, 80] && packet[53] == 0x02 && packet[56...57] == [0, 0])
    }
}
