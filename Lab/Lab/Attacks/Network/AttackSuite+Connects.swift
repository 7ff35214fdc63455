import Foundation

/// R1 to R5: every kind of connect() a process without rights can make.
extension AttackSuite {
    var connects: [Attack] {
        let ways: [(number: String, how: String, address: String, text: String)] = [
            ("R1", "plain", "::ffff:169.254.169.254", "AF_INET6 to the mapped address"),
            ("R2", "plain", "fd20:ce::254", "IPv6 metadata address"),
            ("R3", "fast-open", "169.254.169.254", "sendto(MSG_FASTOPEN)"),
            ("R3", "fast-open-connect", "169.254.169.254", "TCP_FASTOPEN_CONNECT"),
            ("R4", "mptcp", "169.254.169.254", "MPTCP"),
            ("R4", "mptcp-fast-open", "169.254.169.254", "MPTCP with sendto(MSG_FASTOPEN)"),
            ("R5", "non-blocking", "169.254.169.254", "non-blocking connect()"),
            ("R5", "reconnect", "169.254.169.254", "AF_UNSPEC, then connect() again"),
            ("R5", "ring", "169.254.169.254", "connect by io_uring"),
        ]
        return ways.map { way in
            Attack(way.number, .unprivileged, way.text, .ownIdentity) {
                try await stage.got(["connect", way.how, way.address, "80"], .unprivileged)
            }
        }
            // The first is the agent's where it serves AWS.
            + [("fd00:ec2::254", Attack.Expectation.ownIdentity), ("64:ff9b::a9fe:a9fe", .nothing)].map {
                address, expectation in
                Attack("R2", .unprivileged, "connect() to \(address)", expectation) {
                    try await stage.got(["connect", "plain", address, "80"], .unprivileged)
                }
            }
            + [peer(LabNode.metadataAddress), peer(LabNode.metadataAddress6)]
    }

    /// Clients compare the peer with whom they asked for.
    func peer(_ address: String) -> Attack {
        Attack("R4", .unprivileged, "getpeername() after connect() to \(address)", .text("peer \(address) port 80")) {
            try await stage.got(["connect", "peer", address, "80"], .unprivileged)
        }
    }

    /// R9: connects to the machine's own server before there is an agent, and waits for the answer.
    static func openOldConnections(_ stage: AttackStage) async throws -> [(RunningPod, Command)] {
        var old: [(RunningPod, Command)] = []
        for pod in [stage.mallory, stage.onHost] {
            let command = try pod.attack(["keep-alive"] + Self.metadata, as: .unprivileged)
            old.append((pod, try await stage.began(command, "connected")))
        }
        return old
    }

    /// Rows of which the first that is tried lets all connections ask: each waits long for an answer, and all at the same time.
    func oldConnections(_ old: [(RunningPod, Command)]) -> [Attack] {
        old.map { pod, command in
            let place = pod === mallory ? "" : ", on the node's network"
            return Attack(
                "R9", .unprivileged, "asks on a connection older than the agent\(place)", .nothing, own: pod
            ) {
                for (_, each) in old { each.signal(SIGUSR1) }
                // The first line is what it got before the agent came: the proof that the connection works.
                let lines = try await AttackStage.output(of: command.result()).split(separator: "\n")
                guard let first = lines.first, Loot(String(first), world: world).owners == ["THE MACHINE"] else {
                    throw AttackNotMounted("the connection did not work before")
                }
                return lines.dropFirst().joined(separator: "\n")
            }
        }
    }
}
