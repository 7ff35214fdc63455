import Foundation

/// R6, R7, R13, R15: packets that no connect hook sees.
extension AttackSuite {
    /// How packets get past the sockets' hooks, by the arguments of the attack program before the target's.
    private enum Way {
        static func raw(_ how: String, from source: String) -> [String] { ["raw", how, source] }

        static func frame(to hop: String, from source: String) -> [String] { ["frame", "eth0", hop, source] }
    }

    var packets: [Attack] {
        [
            packet("R6", "raw socket, SYN to 169.254.169.254:80", Way.raw("whole", from: mallory.address)),
            packet("R6", "raw socket, in fragments", Way.raw("fragments", from: mallory.address)),
            packet(
                "R6", "raw IPv6 socket, SYN to fd20:ce::254", Way.raw("whole", from: mallory.address6), isIPv6: true),
            rawOnHost,
            frame,
            frame6,
            Attack(
                "R7", .ordinary, "a TCP of its own in frames, a whole request", .nothing,
                control: {
                    try await stage.got(
                        handshake(from: mallory.address, "40010", to: LabNode.address, AttackStage.openPort), .ordinary
                    ).hasPrefix("connected")
                },
                run: {
                    try await stage.got(
                        handshake(from: mallory.address, "40011", to: LabNode.metadataAddress, 80), .ordinary
                    )
                }
            ),
            Attack(
                "R15", .remote, "frame from the pod's link, by no pod's socket", .nothing,
                control: {
                    try await stage.got(
                        Way.frame(to: LabNode.hardwareAddress, from: mallory.address) + open4, in: mallory.network
                    ).hasPrefix("answered")
                },
                run: {
                    // A sandbox's own network stack does this: a process of the host writes to the pod's interface.
                    try await stage.got(
                        Way.frame(to: LabNode.hardwareAddress, from: mallory.address) + Self.metadata,
                        in: mallory.network
                    )
                }
            ),
        ]
    }

    private var open4: [String] { [LabNode.address, "\(AttackStage.openPort)"] }
    private var open6: [String] { [LabNode.address6, "\(AttackStage.openPort)"] }

    var frame: Attack {
        packet(
            "R7", "AF_PACKET, SYN in a frame of its own", Way.frame(to: LabNode.hardwareAddress, from: mallory.address)
        )
    }

    var frame6: Attack {
        packet(
            "R7", "AF_PACKET, IPv6, SYN to fd20:ce::254",
            Way.frame(to: LabNode.hardwareAddress, from: mallory.address6), isIPv6: true
        )
    }

    /// The attack on the node's network, where no packet is forwarded: only the guard at the socket's exit sees it.
    var rawOnHost: Attack {
        packet(
            "R6", "raw socket, on the node's network", Way.raw("whole", from: LabNode.address), in: stage.onHost
        )
    }

    private func packet(
        _ number: String, _ attempt: String, _ way: [String], isIPv6: Bool = false, in pod: RunningPod? = nil
    ) -> Attack {
        let target = isIPv6 ? [LabNode.metadataAddress6, "80"] : Self.metadata
        return Attack(
            number, .ordinary, attempt, .nothing, own: pod,
            control: {
                try await stage.got(way + (isIPv6 ? open6 : open4), .ordinary, in: pod).hasPrefix("answered")
            },
            run: { try await stage.got(way + target, .ordinary, in: pod) }
        )
    }

    func handshake(from source: String, _ port: String, to address: String, _ targetPort: Int) -> [String] {
        ["handshake", "eth0", LabNode.hardwareAddress, source, port, address, "\(targetPort)"]
    }

    /// R13: by way of others who reach further.
    var detours: [Attack] {
        [
            Attack(
                "R13", .ordinary, "frame to another pod that forwards (ip_forward=1)", .nothing,
                control: {
                    let pod = stage.bystander
                    let forwarding = try await pod.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
                    guard forwarding.succeeded else { throw AttackNotMounted("sysctl: \(forwarding.errorOutput)") }
                    return try await stage.got(
                        Way.frame(to: pod.hardwareAddress, from: mallory.address) + open4, .ordinary
                    ).hasPrefix("answered")
                },
                run: {
                    try await stage.got(
                        Way.frame(to: stage.bystander.hardwareAddress, from: mallory.address) + Self.metadata, .ordinary
                    )
                }
            ),
            Attack(
                "R13", .unprivileged, "a service of the host that connects for others",
                .open(reason: "the host's service, with the host's rights")
            ) {
                let port = "8097"
                let proxy = try await stage.began(
                    stage.outside(["proxy", port] + Self.metadata, in: world.node.network), "listening")
                defer { proxy.signal(SIGKILL) }
                return try await stage.got(["connect", "plain", LabNode.address, port], .unprivileged)
            },
            Attack(
                "R13", .unprivileged, "another pod's service that connects for others",
                .open(reason: "that pod's own identity is its to give")
            ) {
                let port = "8096"
                let proxy = try await stage.began(
                    stage.bystander.attack(["proxy", port] + Self.metadata, as: .unprivileged), "listening")
                defer { proxy.signal(SIGKILL) }
                return try await stage.got(["connect", "plain", stage.bystander.address, port], .unprivileged)
            },
        ]
    }
}

extension RunningPod {
    fileprivate var hardwareAddress: String {
        get async throws {
            let words = try await Command.require(["ip", "-n", network.name, "-o", "link", "show", "eth0"])
                .split(separator: " ")
            guard let name = words.firstIndex(of: "link/ether") else { throw AttackNotMounted("eth0 has no address") }
            return String(words[name + 1])
        }
    }

    /// The pod's IPv6 address, which the lab numbers like its IPv4 address.
    fileprivate var address6: String {
        let parts = address.split(separator: ".").compactMap { Int($0) }
        return "fd88::\(String(parts[2] * 250 + parts[3] - 2, radix: 16)):1"
    }
}
