import Foundation

/// A8, A12: connections that live longer than they should, or say more than one thing.
extension AttackSuite {
    var connections: [Attack] {
        [
            Attack("A8", .unprivileged, "asks on a connection of a pod that is gone", .noToken) {
                try await outlive { ghost in
                    await world.deletePod(ghost)
                    try await untilTrue { try await !cgroups().contains(ghost.uid) }
                }
            },
            Attack("A8", .unprivileged, "asks on a connection of a pod that has finished", .noToken) {
                try await outlive { ghost in
                    world.cluster.kubernetes.updatePod(namespace: "mallory", name: ghost.name) {
                        $0.phase = "Succeeded"
                    }
                    try await untilTrue {
                        let output = try await stage.got(
                            ["connect", "plain"] + Self.metadata, .unprivileged, in: ghost)
                        return output.hasPrefix("answered 403")
                    }
                }
            },
            inFlight,
        ]
    }

    /// A pod's process asks, is moved to another pod, its own pod ends, and it asks again.
    private func outlive(_ end: (RunningPod) async throws -> Void) async throws -> String {
        let ghost = try await world.addPod("ghost-\(UInt16.random(in: 0...UInt16.max))", namespace: "mallory")
        let old = try ghost.attack(["keep-alive"] + Self.metadata, as: .unprivileged)
        _ = try await stage.began(old, "connected")
        let procs = world.node.cgroupDirectory(stage.neighbour.containerCgroup) + "/cgroup.procs"
        try "\(old.processIdentifier)".write(toFile: procs, atomically: false, encoding: .utf8)
        try await end(ghost)
        old.signal(SIGUSR1)
        let lines = try AttackStage.output(of: await old.result()).split(separator: "\n")
        guard let first = lines.first, Loot(String(first), world: world).owners == [ghost.uid] else {
            throw AttackNotMounted("the pod was not served before")
        }
        return lines.dropFirst().joined(separator: "\n")
    }

    /// The agent's view of cgroups.
    private func cgroups() async throws -> String {
        try await Command.require(
            [world.binaries + "/podidentd", "debug", "cgroups", "--socket", try stage.agent.adminSocket]
        )
    }

    private func untilTrue(_ condition: () async throws -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(60) * LabKernel.patience
        while try await !condition() {
            guard ContinuousClock.now < deadline else { throw AttackNotMounted("the agent has not heard of the end") }
        }
    }

    /// A12: requests in a row, and the end of the sending side, while everybody's answers are on their way.
    private var inFlight: Attack {
        Attack("A12", .unprivileged, "pipelines and half-closes while fetches are in flight", .ownIdentityOrNoToken) {
            let sts = world.cluster.securityTokenServiceServer
            sts.faults.inject(.delay(.milliseconds(300)))
            defer { sts.faults.clear() }
            let scope = "?scopes=https://www.googleapis.com/auth/in-flight-"
            func bytes(_ number: Int, _ path: String) -> String {
                #"GET \#(path)\#(scope)\#(number) HTTP/1.1\r\nHost: metadata.google.internal\r\n"#
                    + #"Metadata-Flavor: Google\r\n\r\n"#
            }
            let requests = (0..<4).map { bytes($0, Self.tokenPath) + bytes($0 + 1, Self.tokenPath) + #"\h"# }
            async let others = stage.got(["exchange"] + Self.metadata + requests, .unprivileged, in: stage.bystander)
            let own = try await stage.got(["exchange"] + Self.metadata + requests, .unprivileged)
            let theirs = Loot(try await others, world: world).owners
            guard theirs.isSubset(of: [stage.bystander.uid]) else { return own + "\nanswered \(theirs) to another" }
            guard own.contains("200") else { throw AttackNotMounted("no answer: \(own)") }
            return own
        }
    }
}
