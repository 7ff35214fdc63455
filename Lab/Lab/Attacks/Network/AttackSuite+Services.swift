import Foundation

/// R16 to R19, R23: protected addresses by way of Services, of the node's own interfaces, of bridges and of source routes, and
/// those of other clouds.
extension AttackSuite {
    /// Protected, not link-local, and in these attacks the other machine's.
    private static let protected = "168.63.129.16"
    private static let service = "10.96.0.10"
    private static let service6 = "fd96::10"
    /// The node's as well, and not protected.
    private static let spare = "10.88.250.1"

    var detoursOfPackets: [Attack] {
        [
            serviceAttack("with an endpoint beyond the node, by a pod", to: Self.protected),
            serviceAttack("with an endpoint on the node, by a pod, IPv6", to: LabNode.metadataAddress6),
            serviceAttack(
                "with an endpoint beyond the node, by a hostNetwork pod", to: Self.protected, by: stage.onHost),
            ownFrame("AF_PACKET on br0, by a hostNetwork pod", .nothing),
            ownFrame(
                "the same past the interface's queue (PACKET_QDISC_BYPASS)",
                .open(reason: "the kernel has no hook there: check names it (paths.host-network)"), ["bypass"]),
            bridgedFrame("frame to another machine on the bridge", .nothing, callsNetfilter: true),
            bridgedFrame(
                "the same with bridge-nf-call-iptables=0",
                .open(reason: "no hook sees it: check says so (paths.bridges)"), callsNetfilter: false),
            sourceRoute, otherClouds,
        ]
    }

    /// Makes a Service as kube-proxy does, and connects to it.
    private func serviceAttack(_ attempt: String, to endpoint: String, by pod: RunningPod? = nil) -> Attack {
        let isIPv6 = endpoint.contains(":")
        let service = isIPv6 ? Self.service6 : Self.service
        let connect = ["connect", "peer", service, "80"]
        return Attack(
            "R16", .tenant, "a Service \(attempt)", .text("connect: E"), own: pod,
            control: {
                let open = isIPv6 ? "[\(LabNode.address6)]" : LabNode.address
                return try await withService(service, "\(open):\(AttackStage.openPort)") {
                    try await stage.got(connect, .unprivileged, in: pod).hasPrefix("peer")
                }
            },
            run: {
                try await withService(service, (isIPv6 ? "[\(endpoint)]" : endpoint) + ":80") {
                    try await stage.got(connect, .unprivileged, in: pod)
                }
            }
        )
    }

    private func ownFrame(_ attempt: String, _ expectation: Attack.Expectation, _ how: [String] = []) -> Attack {
        @Sendable func frame(to address: String, _ port: Int) async throws -> String {
            try await withProtectedMachine { hardware in
                try await stage.got(
                    ["frame", "br0", hardware, LabNode.address, address, "\(port)"] + how, .ordinary, in: stage.onHost)
            }
        }
        return Attack(
            "R17", .ordinary, attempt, expectation, own: stage.onHost,
            control: { try await frame(to: AttackStage.machineAddress, AttackStage.openPort).hasPrefix("answered") },
            run: { try await frame(to: Self.protected, 80) }
        )
    }

    private func bridgedFrame(
        _ attempt: String, _ expectation: Attack.Expectation, callsNetfilter: Bool
    ) -> Attack {
        @Sendable func frame(to address: String, _ port: Int) async throws -> String {
            try await withProtectedMachine { hardware in
                try await withSetting("net.bridge.bridge-nf-call-iptables", callsNetfilter ? "1" : "0") {
                    try await stage.got(
                        ["frame", "eth0", hardware, mallory.address, address, "\(port)"], .ordinary)
                }
            }
        }
        return Attack(
            "R18", .ordinary, attempt, expectation,
            control: { try await frame(to: AttackStage.machineAddress, AttackStage.openPort).hasPrefix("answered") },
            run: { try await frame(to: Self.protected, 80) }
        )
    }

    private var sourceRoute: Attack {
        @Sendable func route(to address: String, _ port: Int) async throws -> String {
            try await withSetting("net.ipv4.conf.all.accept_source_route", "1") {
                try await withSetting("net.ipv4.conf.br0.accept_source_route", "1") {
                    try await stage.got(
                        ["route", mallory.address, LabNode.address, address, "\(port)"], .ordinary)
                }
            }
        }
        return Attack(
            "R19", .ordinary, "raw socket, loose source route over the node", .nothing,
            control: {
                try await world.node.network.ip("addr replace \(Self.spare)/32 dev lo")
                let listener = try world.node.network.listen(host: Self.spare, port: AttackStage.openPort)
                defer { close(listener) }
                return try await route(to: Self.spare, AttackStage.openPort).hasPrefix("answered")
            },
            run: { try await route(to: LabNode.metadataAddress, 80) }
        )
    }

    private static let otherServers = [
        "100.100.100.200", protected, "fd00:a9fe:a9fe::1", "fe80::a9fe:a9fe", "fd00:c1::a9fe:a9fe", "169.254.42.42",
        "169.254.0.23",
    ]

    private var otherClouds: Attack {
        Attack("R23", .unprivileged, "the metadata servers of seven other clouds", .text("refused: 7")) {
            try await refused(Self.otherServers)
        }
    }

    private func refused(_ addresses: [String]) async throws -> String {
        var refused = 0
        for address in addresses {
            let output = try await stage.got(["connect", "peer", address, "80"], .unprivileged)
            if output == "connect: ECONNREFUSED\n" || output == "connect: EPERM\n" { refused += 1 }
        }
        return "refused: \(refused)"
    }

    /// R2 and R23 where the agent serves Google alone: AWS's address is another cloud's then, and no pod gets there. Where
    /// AWS is served it is the agent's own, as the rows above have it.
    var googleAlone: [Attack] {
        let address = "fd00:ec2::254"
        let connect = ["connect", "plain", address, "80"]
        let without = [
            Attack("R2", .unprivileged, "connect() to \(address) where AWS is not served", .nothing) {
                try await stage.got(connect, .unprivileged)
            },
            Attack(
                "R23", .unprivileged, "the metadata servers of eight other clouds, Google alone served",
                .text("refused: 8")
            ) {
                try await refused(Self.otherServers + [address])
            },
        ]
        let again = Attack("R2", .unprivileged, "connect() to \(address) once AWS is served again", .ownIdentity) {
            try await stage.got(connect, .unprivileged)
        }
        return without.map { attack in
            var attack = attack
            attack.service = .google
            return attack
        } + [again]
    }

    // MARK: The node meanwhile

    /// Runs `body` while the node translates `address`, port 80, to `target`, for pods and for itself.
    private func withService<Value: Sendable>(
        _ address: String, _ target: String, _ body: @Sendable () async throws -> Value
    ) async throws -> Value {
        let family = address.contains(":") ? "ip6" : "ip"
        let rule = "\(family) daddr \(address) tcp dport 80 dnat \(family) to \(target)"
        // The other machine would answer pods by the bridge.
        try await nft(
            """
            table inet nidlab_service {
                chain pods { type nat hook prerouting priority -100; \(rule); }
                chain node { type nat hook output priority -100; \(rule); }
                chain back { type nat hook postrouting priority 100; ip daddr \(Self.protected) masquerade; }
            }
            """)
        do {
            let output = try await withProtectedMachine { _ in
                try await withSetting("net.ipv4.ip_forward", "1") { try await body() }
            }
            try await nft("delete table inet nidlab_service")
            return output
        } catch {
            try? await nft("delete table inet nidlab_service")
            throw error
        }
    }

    private func nft(_ commands: String) async throws {
        try await Command.require(
            ["nsenter", "--net=\(world.node.network.path)", "--", "nft", "-f", "-"], input: commands + "\n")
    }

    /// Runs `body` while the other machine has a protected address, listens at it and at an open port, and the node knows
    /// the way; `body` gets its hardware address.
    private func withProtectedMachine<Value: Sendable>(
        _ body: @Sendable (String) async throws -> Value
    ) async throws -> Value {
        let machine = stage.machine
        try await machine.ip("addr replace \(Self.protected)/32 dev lo")
        try await world.node.network.ip(
            """
            route replace \(Self.protected)/32 via \(AttackStage.machineAddress) dev br0
            route replace \(Self.service)/32 dev br0
            """)
        let listeners = try [(Self.protected, 80), (AttackStage.machineAddress, AttackStage.openPort)].map {
            try machine.listen(host: $0.0, port: $0.1)
        }
        defer { for listener in listeners { close(listener) } }
        let words = try await Command.require(["ip", "-n", machine.name, "-o", "link", "show", "eth0"])
            .split(separator: " ")
        guard let name = words.firstIndex(of: "link/ether") else { throw AttackNotMounted("eth0 has no address") }
        return try await body(String(words[name + 1]))
    }

    /// Runs `body` while a setting of the node's network namespace has another value.
    private func withSetting<Value: Sendable>(
        _ name: String, _ value: String, _ body: @Sendable () async throws -> Value
    ) async throws -> Value {
        let inNode = ["nsenter", "--net=\(world.node.network.path)", "--", "sysctl", "-n"]
        let before = try await Command.require(inNode + [name]).trimmingCharacters(in: .whitespacesAndNewlines)
        try await Command.require(inNode + ["-w", "\(name)=\(value)"])
        do {
            let result = try await body()
            try await Command.require(inNode + ["-w", "\(name)=\(before)"])
            return result
        } catch {
            _ = try? await Command.run(inNode + ["-w", "\(name)=\(before)"])
            throw error
        }
    }
}
