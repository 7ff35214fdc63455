import Foundation

/// R12, A1, A7: the agent's port without the redirect, from one's own address and from others'.
extension AttackSuite {
    var outsiders: [Attack] {
        [
            Attack(
                "R12", .remote, "the agent's port, from another machine", .nothing,
                control: {
                    try await stage.got(
                        ["connect", "peer", LabNode.address, "\(AttackStage.openPort)"], in: stage.machine
                    ).hasPrefix("peer")
                },
                run: {
                    try await stage.got(
                        ["connect", "plain", LabNode.address, "\(AgentProcess.port)"], in: stage.machine)
                }
            ),
            Attack("R12", .remote, "the metadata address by way of the node", .nothing) {
                try await stage.got(["connect", "plain"] + Self.metadata, in: stage.machine)
            },
            Attack("R12", .remote, "the agent's port, from a process of the host", .nothing) {
                try await stage.got(["connect", "plain"] + Self.agentPort, in: world.node.network)
            },
            Attack("R12", .unprivileged, "the agent's port, from a pod", .nothing) {
                try await stage.got(["connect", "plain"] + Self.agentPort, .unprivileged)
            },
            Attack("A1", .unprivileged, "straight to the agent from a port that was redirected", .nothing) {
                let source = [mallory.address, "50001"]
                let own = try await stage.got(["connect", "plain"] + Self.metadata + source, .unprivileged)
                guard Loot(own, world: world).owners == [mallory.uid] else { throw AttackNotMounted(own) }
                return try await stage.got(["connect", "plain"] + Self.agentPort + source, .unprivileged)
            },
            Attack("A1", .unprivileged, "a victim's address and old port as its own, to the agent", .nothing) {
                let source = [stage.bystander.address, "50009"]
                try await useOnce(stage.bystander, port: source[1])
                return try await withAddress(source[0]) {
                    try await stage.got(["connect", "plain"] + Self.agentPort + source, .unprivileged)
                }
            },
            Attack("A7", .unprivileged, "a victim's address and old port, redirected", .ownIdentityOrNoToken) {
                let source = [stage.bystander.address, "50012"]
                try await useOnce(stage.bystander, port: source[1])
                return try await withAddress(source[0]) {
                    try await stage.got(["connect", "plain"] + Self.metadata + source, .unprivileged)
                }
            },
            Attack("A7", .unprivileged, "the address of a pod that was deleted", .ownIdentity) {
                let former = try await world.addPod("former", namespace: "victim")
                try await useOnce(former, port: "50013")
                await world.deletePod(former)
                return try await withAddress(former.address) {
                    try await stage.got(
                        ["connect", "plain"] + Self.metadata + [former.address, "50013"], .unprivileged)
                }
            },
        ]
    }

    /// A pod asks from a port, which leaves whatever records there are of it.
    private func useOnce(_ pod: RunningPod, port: String) async throws {
        let output = try await stage.got(
            ["connect", "plain"] + Self.metadata + [pod.address, port], .unprivileged, in: pod)
        guard Loot(output, world: world).owners == [pod.uid] else {
            throw AttackNotMounted("the other pod got \(output)")
        }
    }

    /// Gives the attacking pod a second address, and has its neighbours believe it at once.
    private func withAddress(_ address: String, _ body: () async throws -> String) async throws -> String {
        try await mallory.network.ip("addr add \(address)/16 dev eth0")
        try await forget(address)
        do {
            let output = try await body()
            try await mallory.network.ip("addr del \(address)/16 dev eth0")
            try await forget(address)
            return output
        } catch {
            try? await mallory.network.ip("addr del \(address)/16 dev eth0")
            throw error
        }
    }

    /// Has the node ask again who has an address. Only that one: with an entry goes what waits for it, and a victim whose
    /// SYN was answered just then would wait a second for the next.
    private func forget(_ address: String) async throws {
        try await world.node.network.ip("neigh flush to \(address) dev br0")
    }
}
