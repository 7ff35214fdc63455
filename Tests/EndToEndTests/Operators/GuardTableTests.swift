import AgentTesting
import Lab
import Operations
import Testing

/// The host guard where the kernel has no netfilter links: an nftables table, which any process with rights over the node's network
/// namespace can remove.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct GuardTableTests {
    @Test("a host guard's table that another process removes is put back by the agent that serves")
    func removedTable() async throws {
        try await withAgent(["guard.mechanism": "nftables"]) { world, agent in
            let nft = ["nsenter", "--net=\(world.node.network.path)", "--", "nft"]
            _ = try await Command.require(nft + ["delete", "table", "inet", "podidentd"])
            _ = try await agent.log.first { $0.contains("the nftables table of the host guard; it is in place again") }
            #expect(try await Command.require(nft + ["list", "tables"]).contains("table inet podidentd\n"))
            #expect(try await agent.status().incidents["host_guard_restored"] == 1)
        }
    }

    @Test("a table that an uninstallation takes away with the pins stays away, though an agent still serves")
    func uninstalled() async throws {
        try await withAgent(["guard.mechanism": "nftables"]) { world, agent in
            let inNode = ["nsenter", "--net=\(world.node.network.path)", "--"]
            let removed = try await Command.require(inNode + world.uninstallCommand + ["--force"])
            #expect(removed.contains("removed table inet podidentd\n"))
            _ = try await agent.log.first { $0.contains("the host guard is gone with the pins, and is not put back") }
            #expect(try await Command.require(inNode + ["nft", "list", "tables"]) == "")
            #expect(try await agent.status().incidents["host_guard_restored", default: 0] == 0)
        }
    }
}
