import Attribution
import BPF
import Foundation
import Lab
import Testing

/// The nftables form of the host guard, as `nft` shows it; what it drops is in ``GuardTests``.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct NftablesGuardTests {
    /// The rules of the node's network namespace as text, without counts.
    private static func ruleset(_ lab: GuardLab) async throws -> String {
        try await Command.require(
            ["nsenter", "--net=\(lab.node.network.path)", "--", "nft", "--stateless", "--numeric", "list", "ruleset"])
    }

    @Test("the table says what is dropped, and nothing else is in the ruleset")
    func rules() async throws {
        try await withGuards(.nftables) { lab in
            let rules = try await Self.ruleset(lab)
            #expect(rules.split(separator: "\n").filter { $0.hasPrefix("table") } == ["table inet podidentd {"])
            #expect(rules.contains("type filter hook prerouting priority -283; policy accept;"), "\(rules)")
            for line in [
                "iiftype 772 accept",
                "ip daddr 169.254.169.254 goto endpoint0_ip", "ip6 daddr ::ffff:169.254.169.254 goto endpoint0_ip6",
                "ip6 daddr 64:ff9b::a9fe:a9fe goto endpoint0_ip6", "ip6 daddr fd20:ce::254 goto endpoint1_ip6",
                "ip6 daddr fd00:ec2::254 goto endpoint2_ip6", "ip daddr 168.63.129.16 goto endpoint3_ip",
                "th dport 80 goto dropped", "th dport 32526 goto dropped", "th dport 53 accept",
                "counter name \"dropped_forward\" drop",
            ] {
                #expect(rules.contains(line), "\(line) is not in \(rules)")
            }
        }
    }

    @Test("replacing it leaves no moment without it")
    func replacement() async throws {
        try await withGuards(.nftables) { lab in
            let pod = try await lab.addPod("a")
            let (configuration, cgroups, network) = (lab.configuration, lab.cgroups, lab.node.network)
            let before = try await Self.ruleset(lab)
            let replacing = Task.detached {
                var count = 0
                while !Task.isCancelled {
                    _ = try network.run { try Datapath.guarded(configuration, cgroups: cgroups) }
                    count += 1
                }
                return count
            }
            let syn = ["frame", "eth0", LabNode.hardwareAddress, pod.address, LabNode.metadataAddress, "80"]
            for _ in 0..<5 {
                #expect(try await pod.attack(syn, as: .ordinary).result().output == "sent, no answer\n")
            }
            replacing.cancel()
            #expect(try await replacing.value > 0)
            #expect(try await Self.ruleset(lab) == before)
        }
    }

    @Test("the two forms replace each other: no packet is counted twice, and neither stays")
    func change() async throws {
        try await withGuards(.nftables) { lab in
            let (cgroups, network) = (lab.cgroups, lab.node.network)
            var configuration = lab.configuration
            let links = configuration.pinDirectory.path + "/links"
            func hasPin() -> Bool { FileManager.default.fileExists(atPath: links + "/forward4") }
            #expect(!hasPin())
            configuration.hostGuardMechanism = nil
            let automatic = configuration
            let byChoice = try network.run { try Datapath.guarded(automatic, cgroups: cgroups) }
            #expect(byChoice.hostGuard == .active(.preferred))
            #expect(hasPin() == LabKernel.hasNetfilterLinks)
            #expect(try await Self.ruleset(lab).isEmpty == LabKernel.hasNetfilterLinks)
            configuration.hostGuardMechanism = .nftables
            let again = configuration
            let byTable = try network.run { try Datapath.guarded(again, cgroups: cgroups) }
            #expect(byTable.hostGuard == .active(.nftables))
            #expect(!hasPin())
            #expect(try await Self.ruleset(lab).contains("table inet podidentd"))
        }
    }

    @Test("removing a table that is not there is no error")
    func removal() async throws {
        try await withGuards(.nftables) { lab in
            let network = lab.node.network
            let first = try network.run { try HostGuard.removeTable() }
            let second = try network.run { try HostGuard.removeTable() }
            #expect(first == "table inet podidentd")
            #expect(second == nil)
            #expect(try await Self.ruleset(lab) == "")
        }
    }
}
