import Foundation
import Lab
import Testing

@testable import BPF

/// The reasons for which the agent lists the node's interfaces again.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct NetworkWatchTests {
    private func withNamespaces(_ body: (NetworkNamespace, NetworkNamespace) async throws -> Void) async throws {
        let names = ["n", "o"].map { "\(LabNode.prefix)-\(getpid())-\(UInt16.random(in: 0...UInt16.max))-\($0)" }
        let networks = names.map { NetworkNamespace(name: $0) }
        var failure: (any Error)?
        do {
            for network in networks { try await Command.require(["ip", "netns", "add", network.name]) }
            try await body(networks[0], networks[1])
        } catch {
            failure = error
        }
        for network in networks { _ = try? await Command.run(["ip", "netns", "delete", network.name]) }
        if let failure { throw failure }
    }

    @Test("interfaces are listed again after a change of an interface or an address, and of this namespace alone")
    func changes() async throws {
        try await withNamespaces { network, other in
            let watch = try network.run { NetworkWatch() }
            let isDueAtFirst = watch.take()
            #expect(isDueAtFirst)
            #expect(!watch.take())
            for change in [
                "link add br0 type bridge", "link set br0 mtu 1400", "addr add 192.0.2.1/24 dev br0",
                "addr add 2001:db8::1/64 dev br0 nodad", "addr del 192.0.2.1/24 dev br0", "link set br0 name br1",
                "link del br1",
            ] {
                try await other.ip(change)
                #expect(!watch.take(), "elsewhere: \(change)")
                try await network.ip(change)
                let isDue = watch.take()
                #expect(isDue, "\(change)")
            }
        }
    }

    @Test("more changes than the kernel keeps are one reason to list them, and so is a demand")
    func flood() async throws {
        try await withNamespaces { network, _ in
            let watch = try network.run { NetworkWatch() }
            _ = watch.take()
            try await network.ip((0..<400).map { "link add v\($0) type bridge\nlink del v\($0)\n" }.joined())
            let isDue = watch.take()
            #expect(isDue)
            #expect(!watch.take())
            watch.demand()
            let isDemanded = watch.take()
            #expect(isDemanded)
            #expect(!watch.take())
        }
    }
}
