import Foundation

/// R14: who makes a socket, who connects it, and who asks on it, are not always one.
///
/// | made by                  | connected by             | outcome                                            |
/// |--------------------------|--------------------------|----------------------------------------------------|
/// | another pod's process    | the attacker             | refused: creator and connector differ              |
/// | a process of the host    | the attacker             | refused                                            |
/// | the attacker             | another pod's process    | refused, or that pod would lend its identity       |
/// | the attacker             | itself, after a move     | refused: the creator's cgroup stays with the socket |
/// | another container of it  | the attacker             | its own identity: containers of a pod share it     |
///
/// Once a connection is made, its identity is its connector's, whichever process holds the descriptor later: passing it
/// on is the same as passing on what is read from it.
extension AttackSuite {
    var descriptors: [Attack] {
        [
            Attack("R14", .unprivileged, "socket passed by the victim's process", .nothing) {
                try await passed(to: Self.metadata) { try target.attack($0, as: .unprivileged) }
            },
            passedByHost(isIPv6: false, isDatagram: false),
            passedByHost(isIPv6: true, isDatagram: false),
            passedByHost(isIPv6: false, isDatagram: true),
            passedByHost(isIPv6: true, isDatagram: true),
            lent,
            Attack("R14", .unprivileged, "socket passed by its own other container", .ownIdentity) {
                let other = mallory.cgroup + "/" + String(repeating: "c", count: 64)
                try FileManager.default.createDirectory(
                    atPath: world.node.cgroupDirectory(other), withIntermediateDirectories: true
                )
                return try await passed(to: Self.metadata) {
                    try mallory.attack($0, as: .unprivileged, cgroup: other)
                }
            },
            Attack("R14", .ordinary, "makes a socket, is moved to the victim's pod", .nothing) {
                try await stage.got(
                    ["move", world.node.cgroupDirectory(target.containerCgroup) + "/cgroup.procs"] + Self.metadata,
                    .ordinary
                )
            },
        ]
    }

    /// A socket of the host's is no pod's: no packet filter by cgroup holds it, and on the node's own network none by
    /// interface does.
    func passedByHost(isIPv6: Bool, isDatagram: Bool) -> Attack {
        let address =
            isIPv6 && isDatagram
            ? LabNode.metadataAddress6 : (isIPv6 ? "::ffff:" : "") + LabNode.metadataAddress
        let kind = "\(isIPv6 ? "IPv6" : "IPv4") \(isDatagram ? "datagram" : "stream") socket"
        // No hook sees an unconnected datagram of a socket that was made outside of all pods: it would be one on every
        // datagram of the node. What answers there is the machine's own server, which speaks no UDP at that port.
        let expectation: Attack.Expectation =
            isDatagram ? .open(reason: "datagrams of the host's own socket; no metadata server speaks UDP") : .nothing
        return Attack(
            "R14", .unprivileged, "\(kind) passed by the host, on its network", expectation, own: stage.onHost
        ) {
            let echo =
                isDatagram
                ? try UDPEcho(
                    host: isIPv6 ? LabNode.metadataAddress6 : LabNode.metadataAddress, port: 80,
                    in: world.node.network) : nil
            defer { echo?.stop() }
            return try await passed(
                to: [address, "80"], in: stage.onHost,
                kind: [isIPv6 ? "6" : "4", isDatagram ? "datagram" : "stream"]
            ) {
                try stage.outside($0, in: world.node.network)
            }
        }
    }

    /// The attacker asks on a socket of its own that the victim's process was brought to connect.
    var lent: Attack {
        Attack("R14", .unprivileged, "has the victim's process connect its socket", .nothing, own: stage.neighbour) {
            let path = socketPath()
            defer { try? FileManager.default.removeItem(atPath: path) }
            let lender = try await stage.began(
                stage.neighbour.attack(["lend", path], as: .unprivileged), "listening")
            _ = try await stage.got(["borrow", path] + Self.metadata, .unprivileged, in: target)
            return try AttackStage.output(of: await lender.result())
        }
    }

    private func socketPath() -> String {
        "/tmp/\(world.node.identifier)-\(UInt32.random(in: 0...UInt32.max)).sock"
    }

    private func passed(
        to address: [String], in pod: RunningPod? = nil, kind: [String] = ["4", "stream"],
        from giver: ([String]) throws -> Command
    ) async throws -> String {
        let path = socketPath()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let giver = try await stage.began(giver(["pass", path] + kind), "listening")
        let output = try await stage.got(["take", path] + address, .unprivileged, in: pod)
        _ = await giver.result()
        return output
    }
}
