import Foundation

extension AttackSuite {
    private static let agent = [LabNode.address, "\(AgentProcess.port)"]

    /// Every attack, in the order of the list of threats. Those on a dead agent come after them.
    func vectors(old: Command) -> [Attack] {
        connects + packets + ports + [oldConnection(old)] + outsiders + descriptors + attributions + floods
    }

    // MARK: Round the redirect

    private var connects: [Attack] {
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
                try await got(["connect", way.how, way.address, "80"], .unprivileged)
            }
        }
            + ["fd00:ec2::254", "64:ff9b::a9fe:a9fe"].map { address in
                Attack("R2", .unprivileged, "connect() to \(address)", .nothing) {
                    try await got(["connect", "plain", address, "80"], .unprivileged)
                }
            }
    }

    private var packets: [Attack] {
        [
            Attack("R6", .ordinary, "raw socket, SYN to 169.254.169.254:80", .nothing) {
                try await got(["raw", "whole", mallory.address, LabNode.metadataAddress, "80"], .ordinary)
            },
            Attack("R6", .ordinary, "raw socket, fragments, the first to port 53", .nothing) {
                try await got(["raw", "fragments", mallory.address, LabNode.metadataAddress, "80"], .ordinary)
            },
            Attack("R6", .ordinary, "raw IPv6 socket, SYN to fd20:ce::254", .nothing) {
                try await got(["raw", "whole", mallory.address, LabNode.metadataAddress6, "80"], .ordinary)
            },
            Attack("R7", .ordinary, "AF_PACKET, SYN in a frame of its own", .nothing) {
                try await got(
                    [
                        "frame", "eth0", LabNode.hardwareAddress, mallory.address, LabNode.metadataAddress, "80",
                    ], .ordinary
                )
            },
            Attack("R15", .remote, "frame from the pod's link, by no pod's socket", .nothing) {
                // What a sandbox's own network stack does: a process of the host writes to the pod's interface.
                try await Command.run(
                    ["nsenter", "--net=\(mallory.network.path)", "--", Attacker.program()] + [
                        "frame", "eth0", LabNode.hardwareAddress, mallory.address, LabNode.metadataAddress, "80",
                    ]
                ).output
            },
        ]
    }

    private var ports: [Attack] {
        [443, 8080].map { port in
            Attack("R8", .unprivileged, "TCP port \(port)", .nothing) {
                let server = try world.node.network.listen(host: LabNode.metadataAddress, port: port)
                defer { close(server) }
                return try await got(["connect", "plain", LabNode.metadataAddress, "\(port)"], .unprivileged)
            }
        } + [("connected", 80, false), ("unconnected", 80, false)].map(datagram)
            + [("connected", 53, true), ("unconnected", 53, true), ("unconnected", 123, true)].map(datagram)
    }

    private func datagram(_ how: String, _ port: Int, _ isOpen: Bool) -> Attack {
        Attack(
            "R8", .unprivileged, "UDP port \(port), \(how)\(isOpen ? ": must work" : "")", isOpen ? .service : .nothing
        ) {
            let server = try UDPEcho(host: LabNode.metadataAddress, port: port, in: world.node.network)
            defer { server.stop() }
            return try await got(["udp", how, LabNode.metadataAddress, "\(port)"], .unprivileged)
        }
    }

    /// Connects to the machine's own server before there is an agent, and waits for the answer.
    func openOldConnection() async throws -> Command {
        let old = try mallory.attack(["keep-alive", LabNode.metadataAddress, "80"], as: .unprivileged)
        try await old.errorLines.first(within: .seconds(5)) { $0 == "connected" }
        return old
    }

    private func oldConnection(_ old: Command) -> Attack {
        Attack("R9", .unprivileged, "asks on a connection older than the agent", .nothing) {
            old.signal(SIGUSR1)
            // The first line is what it got before the agent came.
            return await old.result().output.split(separator: "\n").dropFirst().joined(separator: "\n")
        }
    }

    private var outsiders: [Attack] {
        [
            Attack("R11", .unprivileged, "GET //, /./ and %63omputeMetadata, no header", .nothing) {
                var bodies = ""
                for path in ["//computeMetadata/v1/", "/./computeMetadata/v1/", "/%63omputeMetadata/v1/"] {
                    bodies +=
                        try await mallory.run(
                            "curl", "-s", "--path-as-is", "--max-time", "5",
                            "http://169.254.169.254\(path)instance/service-accounts/default/token"
                        ).output.contains("access_token") ? "answered with a token; " : ""
                }
                return bodies.isEmpty ? "three refusals" : bodies
            },
            Attack("R12", .remote, "the agent's port from elsewhere", .nothing) {
                try await Command.run(
                    ["nsenter", "--net=\(mallory.network.path)", "--", Attacker.program(), "connect", "plain"]
                        + Self.agent
                ).output
            },
            Attack("R12", .unprivileged, "the agent's port from a pod", .nothing) {
                try await got(["connect", "plain"] + Self.agent, .unprivileged)
            },
        ]
    }

    private var descriptors: [Attack] {
        [
            Attack("R14", .unprivileged, "socket passed by the victim's process", .nothing) {
                try await passed(from: { try target.attack(["pass", $0], as: .unprivileged) })
            },
            Attack("R14", .remote, "socket passed by a process of the host", .nothing) {
                try await passed(from: {
                    try Command([
                        "nsenter", "--net=\(mallory.network.path)", "--", Attacker.program(), "pass", $0,
                    ])
                })
            },
            Attack("R14", .unprivileged, "socket passed by its own other container", .ownIdentity) {
                let other = mallory.cgroup + "/" + String(repeating: "c", count: 64)
                try FileManager.default.createDirectory(
                    atPath: world.node.cgroupDirectory(other), withIntermediateDirectories: true
                )
                return try await passed(from: { try mallory.attack(["pass", $0], as: .unprivileged, cgroup: other) })
            },
            Attack("R14", .ordinary, "makes a socket, is moved to the victim's pod", .nothing) {
                try await got(
                    [
                        "move", world.node.cgroupDirectory(target.containerCgroup) + "/cgroup.procs",
                        LabNode.metadataAddress, "80",
                    ], .ordinary
                )
            },
        ]
    }

    private func passed(from giver: (String) throws -> Command) async throws -> String {
        let path = "/tmp/\(world.node.identifier)-\(UInt32.random(in: 0...UInt32.max)).sock"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let giver = try giver(path)
        try await giver.errorLines.first(within: .seconds(5)) { $0 == "listening" }
        let output = try await got(["take", path, LabNode.metadataAddress, "80"], .unprivileged)
        _ = await giver.result()
        return output
    }

    // MARK: Round the attribution

    private var attributions: [Attack] {
        [
            Attack("A1", .unprivileged, "straight to the agent from a used source port", .nothing) {
                let direct = "http://\(Self.agent.joined(separator: ":"))\(Self.tokenPath)"
                _ = try await mallory.run(
                    "curl", "-s", "--local-port", "50001", "--max-time", "5", "http://169.254.169.254/")
                let result = try await mallory.run(
                    "curl", "-s", "--local-port", "50002", "--max-time", "5", "-H", "Metadata-Flavor: Google", direct
                )
                return result.succeeded ? "answered \(result.output)" : "curl ended with \(result.status)"
            },
            Attack("A2b", .namespaced, "TCP_REPAIR with the victim's address and port", .nothing) {
                let script = """
                    ip link set lo up && ip addr add \(target.address)/32 dev lo && exec "$0" repair \(target.address) \
                    40000 169.254.169.254 80
                    """
                return try await inNamespace(script)
            },
            Attack("A2", .namespaced, "the victim's and the agent's address in a namespace", .nothing) {
                let script = """
                    ip link set lo up && ip addr add \(target.address)/32 dev lo && ip addr add \(LabNode.address)/32 \
                    dev lo && exec "$0" connect plain 169.254.169.254 80
                    """
                return try await inNamespace(script)
            },
            Attack("A4", .remote, "cgroup pod<victim> outside of kubepods", .nothing) {
                let cgroup = world.node.cgroupDirectory("/\(world.node.identifier)/user/pod\(target.uid)")
                try FileManager.default.createDirectory(atPath: cgroup, withIntermediateDirectories: true)
                return try await Command.run(
                    [
                        "sh", "-c", "echo 0 > \"$0\" && exec \"$@\"", cgroup + "/cgroup.procs", "nsenter",
                        "--net=\(mallory.network.path)", "--", Attacker.program(), "connect", "plain",
                    ] + Self.agent
                ).output
            },
            Attack("A5", .ordinary, "cgroup pod<victim> below its own container", .ownIdentity) {
                let cgroup = mallory.containerCgroup + "/kubepods/pod\(target.uid)/\(target.containerID)"
                try FileManager.default.createDirectory(
                    atPath: world.node.cgroupDirectory(cgroup), withIntermediateDirectories: true
                )
                return try await got(
                    ["connect", "plain", LabNode.metadataAddress, "80"], .ordinary, cgroup: cgroup)
            },
            Attack("A9", .unprivileged, "X-Forwarded-For, and no Metadata-Flavor", .nothing) {
                var outcomes = ""
                for headers in [["-H", "X-Forwarded-For: 10.0.0.1", "-H", "Metadata-Flavor: Google"], ["-H", "X: y"]] {
                    let answer = try await mallory.start(
                        ["curl", "-s", "--max-time", "5"] + headers + ["http://169.254.169.254\(Self.tokenPath)"]
                    ).result()
                    outcomes += answer.output.contains("access_token") ? "answered with a token; " : ""
                }
                return outcomes.isEmpty ? "two refusals" : outcomes
            },
            Attack("A10", .unprivileged, "Host of somebody else's", .nothing) {
                let answer = try await mallory.run(
                    "curl", "-s", "--max-time", "5", "-H", "Metadata-Flavor: Google", "-H", "Host: evil.example",
                    "http://169.254.169.254\(Self.tokenPath)")
                return answer.output.contains("access_token") ? "answered with a token" : "a refusal"
            },
        ]
    }

    private func inNamespace(_ script: String) async throws -> String {
        let program = try Attacker.program()
        let result = try await mallory.start(
            Attacker.namespaced.confine(["sh", "-c", script, program])
        ).result()
        return result.output.isEmpty ? "status \(result.status): \(result.errorOutput)" : result.output
    }

    private var floods: [Attack] {
        [
            Attack("A3", .unprivileged, "200,000 connects from two threads", .nothing) {
                try await got(["flood", LabNode.metadataAddress, "80", "200000", "2"], .unprivileged)
            },
            Attack("A3", .unprivileged, "2,000 connections that say nothing", .nothing) {
                try await got(["hold", LabNode.metadataAddress, "80", "2000", "1"], .unprivileged)
            },
        ]
    }
}
