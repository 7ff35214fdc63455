import Attribution
import BPF
import Foundation
import Lab
import Testing

/// Protected addresses by way of address translation, source routes and the node's own interfaces, and each guard against
/// that taken away.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct TranslationTests {
    private static let service = "10.96.0.10"

    /// Has the node's network namespace translate a Service to `endpoint`.
    private static func translate(_ lab: GuardLab, to endpoint: String, port: Int = 80) async throws {
        try await Command.require(
            ["nsenter", "--net=\(lab.node.network.path)", "--", "nft", "-f", "-"],
            input: """
                table inet nidlab_service {
                    chain pods {
                        type nat hook prerouting priority -100
                        ip daddr \(service) tcp dport 80 dnat ip to \(endpoint):\(port)
                    }
                }

                """)
    }

    private static func connect(_ lab: GuardLab, _ pod: RunningPod) async throws -> String {
        try await pod.attack(.unprivileged, "connect", "peer", service, "80")
    }

    @Test(
        "a Service whose endpoint is a protected address of the node's is dropped after translation",
        arguments: HostGuard.Mechanism.expected)
    func localEndpoint(mechanism: HostGuard.Mechanism) async throws {
        try await withGuards(mechanism) { lab in
            let pod = try await lab.addPod("a")
            let server = try lab.node.network.listen(host: "168.63.129.16", port: 80)
            let open = try lab.node.network.listen(host: "168.63.129.16", port: 8080)
            defer { for descriptor in [server, open] { close(descriptor) } }
            try await Self.translate(lab, to: "168.63.129.16", port: 8080)
            #expect(try await Self.connect(lab, pod).hasPrefix("peer"))
            try await Command.require(
                ["nsenter", "--net=\(lab.node.network.path)", "--", "nft", "delete table inet nidlab_service"])
            try await Self.translate(lab, to: "168.63.129.16")
            #expect(try await Self.connect(lab, pod) == "connect: EINPROGRESS\n")
            #expect(try await lab.counts("dropped_translated"))
            #expect(try lab.count("dropped_forward") == 0)
            try lab.detachHostGuard()
            #expect(try await Self.connect(lab, pod).hasPrefix("peer"))
        }
    }

    @Test(
        "a node has its input guarded once it has a protected address itself, and not before",
        .enabled(if: LabKernel.hasNetfilterLinks, "netfilter links came with Linux 6.4"))
    func ownAddresses() async throws {
        try await withGuards { lab in
            let inputs: Set = ["input4", "input6"]
            #expect(inputs.isSubset(of: lab.datapath.hooks.map(\.name)))
            let addresses = ["168.63.129.16/32", "fd00:ec2::254/128", "\(LabNode.metadataAddress)/32"]
            let all = addresses + ["\(LabNode.metadataAddress6)/128"]
            try await lab.node.network.ip(all.map { "addr del \($0) dev lo" }.joined(separator: "\n"))
            let (configuration, cgroups) = (lab.configuration, lab.cgroups)
            let next = try lab.node.network.run { try Datapath.guarded(configuration, cgroups: cgroups) }
            #expect(inputs.isDisjoint(with: next.hooks.map(\.name)))
            for input in inputs {
                #expect(unsafe access(configuration.pinDirectory.path + "/links/" + input, F_OK) != 0)
            }
            try lab.node.network.run { try next.guardOwnAddresses() }
            #expect(inputs.isDisjoint(with: next.hooks.map(\.name)))
            try await lab.node.network.ip("addr add 168.63.129.16/32 dev lo")
            try lab.node.network.run { try next.guardOwnAddresses() }
            #expect(inputs.isSubset(of: next.hooks.map(\.name)))
            #expect(next.missingHooks == [])
            let pod = try await lab.addPod("a")
            let server = try lab.node.network.listen(host: "168.63.129.16", port: 80)
            defer { close(server) }
            try await Self.translate(lab, to: "168.63.129.16")
            #expect(try await Self.connect(lab, pod) == "connect: EINPROGRESS\n")
            #expect(try await lab.counts("dropped_translated"))
        }
    }

    @Test(
        "a Service whose endpoint is a protected address beyond the node is dropped after translation",
        arguments: HostGuard.Mechanism.expected)
    func remoteEndpoint(mechanism: HostGuard.Mechanism) async throws {
        try await withGuards(mechanism) { lab in
            let pod = try await lab.addPod("a")
            let other = try await lab.addPod("b")
            // The metadata server is another pod here: what counts is that the node forwards.
            try await lab.node.network.ip(
                """
                addr del 168.63.129.16/32 dev lo
                route add 168.63.129.16/32 via \(other.address) dev br0
                """)
            try await other.network.ip("addr add 168.63.129.16/32 dev lo")
            let inNode = ["nsenter", "--net=\(lab.node.network.path)", "--"]
            try await Command.require(inNode + ["sysctl", "-qw", "net.ipv4.ip_forward=1"])
            try await Command.require(
                inNode + ["nft", "-f", "-"],
                input: """
                    table ip nidlab_back {
                        chain back {
                            type nat hook postrouting priority 100
                            ip daddr 168.63.129.16 masquerade
                        }
                    }

                    """)
            let server = try other.network.listen(host: "168.63.129.16", port: 80)
            defer { close(server) }
            try await Self.translate(lab, to: "168.63.129.16")
            #expect(try await Self.connect(lab, pod) == "connect: EINPROGRESS\n")
            #expect(try await lab.counts("dropped_translated"))
            try lab.detachHostGuard()
            #expect(try await Self.connect(lab, pod).hasPrefix("peer"))
        }
    }

    @Test(
        "a source route to the metadata address is dropped where it is sent and where it arrives",
        arguments: HostGuard.Mechanism.expected)
    func sourceRoute(mechanism: HostGuard.Mechanism) async throws {
        try await withGuards(mechanism) { lab in
            let pod = try await lab.addPod("a")
            try await Command.require([
                "nsenter", "--net=\(lab.node.network.path)", "--", "sysctl", "-qw",
                "net.ipv4.conf.all.accept_source_route=1", "net.ipv4.conf.br0.accept_source_route=1",
            ])
            let route = ["route", pod.address, LabNode.address, LabNode.metadataAddress, "80"]
            #expect(try await pod.attack(route, as: .ordinary).result().output == "send: EPERM\n")
            #expect(try lab.count("dropped_routed") == 1)
            try lab.detach("egress")
            #expect(try await pod.attack(route, as: .ordinary).result().output == "sent, no answer\n")
            #expect(try lab.count("dropped_routed") == 2)
            try lab.detachHostGuard()
            #expect(try await pod.attack(route, as: .ordinary).result().output == "answered: SYN-ACK\n")
        }
    }

    @Test(
        "frames of a hostNetwork pod are dropped at the interface, at new ones too, and those of the host are not",
        .enabled(if: LabKernel.isAtLeast(6, 6), "tcx links came with Linux 6.6"))
    func ownFrames() async throws {
        try await withGuards { lab in
            let other = try await lab.addPod("b")
            let onHost = try await lab.node.addPod(RunningPodSpecification(name: "on-host", isHostNetwork: true))
            try lab.refreshKubepods()
            try await other.network.ip("addr add 168.63.129.16/32 dev lo")
            let server = try other.network.listen(host: "168.63.129.16", port: 80)
            defer { close(server) }
            let words = try await Command.require(["ip", "-n", other.network.name, "-o", "link", "show", "eth0"])
                .split(separator: " ")
            let index = try #require(words.firstIndex(of: "link/ether"))
            let frame = ["frame", "br0", String(words[index + 1]), LabNode.address, "168.63.129.16", "80"]
            // Without the guard it is as it was.
            try await lab.node.network.ip("addr del 168.63.129.16/32 dev lo")
            #expect(try await onHost.attack(frame, as: .ordinary).result().output == "answered: SYN-ACK\n")
            let changes = try lab.node.network.run { try lab.datapath.guardUplinks() }
            #expect(changes.contains(.guarded("br0", .attached)) && changes.contains(.guarded("lo", .attached)))
            #expect(!changes.contains { if case .failed = $0 { true } else { false } })
            #expect(try await onHost.attack(frame, as: .ordinary).result().output == "send: ENOBUFS\n")
            #expect(try lab.count("dropped_uplink") == 1)
            try await lab.node.network.ip("link add br7 type bridge")
            let new = try looked(lab)
            #expect(new == [.guarded("br7", .attached)], "\(new)")
            #expect(try looked(lab) == [])
            try await lab.node.network.ip("link del br7")
            let gone = try looked(lab)
            #expect(gone.count == 1 && !gone.contains { if case .guarded = $0 { true } else { false } }, "\(gone)")
            let (configuration, cgroups) = (lab.configuration, lab.cgroups)
            let next = try lab.node.network.run {
                let next = try Datapath.guarded(configuration, cgroups: cgroups)
                return (next, try next.guardUplinks())
            }
            #expect(next.1.contains(.guarded("br0", .adopted)))
            #expect(try await onHost.attack(frame, as: .ordinary).result().output == "send: ENOBUFS\n")
            let host = try await Command.run(
                ["nsenter", "--net=\(lab.node.network.path)", "--", try Attacker.program()] + frame)
            #expect(host.output == "answered: SYN-ACK\n")
        }
    }

    /// Looks for the node's interfaces in its network namespace, as the agent's threads do: an index means another one elsewhere.
    private func looked(_ lab: GuardLab) throws -> [UplinkGuard.Change] {
        let datapath = lab.datapath
        return try lab.node.network.run { try datapath.refreshUplinks() }
    }

    @Test(
        "an interface whose guard failed is tried again at each look, reported once, and guarded when it can be",
        .enabled(if: LabKernel.isAtLeast(6, 6), "tcx links came with Linux 6.6"))
    func failedGuard() async throws {
        try await withGuards { lab in
            _ = try lab.node.network.run { try lab.datapath.guardUplinks() }
            try await lab.node.network.ip("link add br8 type bridge")
            let index = try lab.node.network.run { unsafe if_nametoindex("br8") }
            // A directory has the place of the pin.
            let pin = lab.configuration.pinDirectory.path + "/links/uplink-\(index)"
            try #require(unsafe mkdir(pin, 0o700) == 0)
            let failed = try looked(lab)
            #expect(failed.count == 1, "\(failed)")
            #expect(failed.contains { if case .failed("br8", _) = $0 { true } else { false } }, "\(failed)")
            for _ in 1...3 { #expect(try looked(lab) == []) }
            try #require(unsafe rmdir(pin) == 0)
            let guarded = try looked(lab)
            #expect(guarded == [.guarded("br8", .attached)], "\(guarded)")
            #expect(try looked(lab) == [])
            try await lab.node.network.ip("link del br8")
        }
    }

    @Test("sixty-four endpoints can be protected, and each of them is", arguments: HostGuard.Mechanism.expected)
    func manyEndpoints(mechanism: HostGuard.Mechanism) async throws {
        try await withGuards(mechanism) { lab in
            let pod = try await lab.addPod("a")
            var configuration = lab.configuration
            configuration.protectedEndpoints = (0..<62).map {
                ProtectedEndpoint(address: .ipv4(0xc633_6400 + $0))
            }
            let (many, cgroups) = (configuration, lab.cgroups)
            let next = try lab.node.network.run { try Datapath.guarded(many, cgroups: cgroups) }
            for last in [0, 30, 61] {
                let output = try await pod.attack(.unprivileged, "connect", "plain", "198.51.100.\(last)", "80")
                #expect(output == "connect: \(LabKernel.refusal)\n", "\(last)")
            }
            let before = try next.counters()["dropped_forward"]
            let frame = ["frame", "eth0", LabNode.hardwareAddress, pod.address, "198.51.100.61", "80"]
            #expect(try await pod.attack(frame, as: .ordinary).result().output == "sent, no answer\n")
            #expect(try next.counters()["dropped_forward"] == before + 1)
            configuration.protectedEndpoints.append(ProtectedEndpoint(address: .ipv4(0xc633_64ff)))
            #expect(throws: BPFError.self) { try configuration.checkEndpoints() }
        }
    }
}
