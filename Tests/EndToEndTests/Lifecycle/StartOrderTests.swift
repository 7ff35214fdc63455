import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// Ports that other processes hold: the hooks come first, and the agent waits.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct StartOrderTests {
    /// A process in the node's network namespace that holds a port and counts the connections that it gets.
    private struct Holder {
        let command: Command

        init(_ world: LabWorld, _ address: String, _ port: Int, isShared: Bool = false) async throws {
            let script = """
                import socket, sys
                address, port, shared = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "true"
                s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if shared: s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                try:
                    s.bind((address, port))
                    s.listen()
                except OSError as error:
                    print(error.strerror, file=sys.stderr, flush=True)
                    sys.exit(1)
                print("held", file=sys.stderr, flush=True)
                while True:
                    s.accept()
                    print("reached", file=sys.stderr, flush=True)
                """
            command = try Command(
                ["nsenter", "--net=\(world.node.network.path)", "--"]
                    + ["python3", "-c", script, address, "\(port)", "\(isShared)"])
            do {
                let word = try await command.errorLines.first(within: .seconds(60)) { _ in true }
                guard word == "held" else { throw LabError(word) }
            } catch {
                command.signal(SIGKILL)
                throw error
            }
        }

        var isReached: Bool { command.errorLines.events.contains("reached") }

        func end() async {
            command.signal(SIGKILL)
            _ = await command.result()
        }
    }

    /// Every port that the agent may take in the node's network namespace.
    private static let ports = AgentProcess.port - 7...AgentProcess.port

    private static let addresses = ["127.0.0.1", "::"]

    @Test(
        "R22: the agent's ports are held in the node's namespace: hostNetwork pods are refused until one is free, others served"
    )
    func agentPorts() async throws {
        _ = try await concurrently(Self.addresses, limit: 2) { try await holdAgentPorts($0) }
    }

    private func holdAgentPorts(_ address: String) async throws {
        try await withWorld { world in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app")
            let onHost = try await world.addPod("b", serviceAccount: "app", isHostNetwork: true)
            var holders: [Holder] = []
            for port in Self.ports { holders.append(try await Holder(world, address, port)) }
            let agent = try await world.startAgent()
            let words = "no listener in the node's network namespace"
            #expect(agent.log.events.contains { $0.contains(words) }, "\(address)")
            #expect(try await pod.token().expiresIn > 0, "\(address)")
            let curl = ["curl", "-s", "--max-time", "3", "http://169.254.169.254/"]
            // Refused, or never let through: the kernel ends it.
            #expect([7, 28].contains(try await Command.run(onHost.commandLine(curl)).status), "\(address)")
            #expect(holders.allSatisfy { !$0.isReached }, "\(address)")
            #expect(world.cluster.trap?.connections == 0, "\(address)")
            #expect(try await agent.status().incidents["port_held", default: 0] > 0, "\(address)")
            await holders[0].end()
            // A SYN that was dropped is sent again after one, three and seven seconds.
            try await world.eventually("hostNetwork pods are not served") {
                (try? await onHost.ask(tokenPath, "--connect-timeout", "1").status) == 200
            }
            for holder in holders { await holder.end() }
            #expect(agent.isRunning, "\(address)")
            await agent.stop()
        }
    }

    @Test("R22: the metrics' port is held at the first start: pods are served, and metrics once it is free")
    func metricsPort() async throws {
        let holders = Self.addresses.flatMap { address in [(address, false), (address, true)] }
        _ = try await concurrently(holders, limit: 4) { address, isShared in
            try await holdMetricsPort(address, isShared: isShared)
        }
    }

    private func holdMetricsPort(_ address: String, isShared: Bool) async throws {
        let name = "\(address), \(isShared ? "shared" : "not shared")"
        try await withWorld { world in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app")
            let holder = try await Holder(world, address, 9255, isShared: isShared)
            let agent = try await world.startAgent()
            #expect(try await pod.token().expiresIn > 0, "\(name)")
            #expect(agent.log.events.contains { $0.contains("no metrics until their port can be bound") }, "\(name)")
            #expect(try await agent.status().incidents["metrics_port_failed", default: 0] > 0, "\(name)")
            let live = [world.binaries + "/podidentd", "live", "--socket", agent.adminSocket]
            #expect(try await Command.run(live).succeeded, "\(name)")
            await holder.end()
            try await agent.log.first(within: .seconds(60)) { $0.contains("serving metrics") }
            #expect(try await world.operations("/livez").status == 200, "\(name)")
            // A successor gets this socket as well.
            let successor = try await world.startAgent()
            #expect(!successor.log.events.contains { $0.contains("no metrics until") }, "\(name)")
            #expect(await agent.result().status == 0, "\(name)")
            #expect(try await world.operations("/livez").status == 200, "\(name)")
            await successor.stop()
        }
    }

    @Test("D8: the metrics' port is shared with no process")
    func reusePort() async throws {
        try await withAgent { world, _ in
            let holder = try? await Holder(world, "127.0.0.1", 9255, isShared: true)
            #expect(holder == nil)
            await holder?.end()
            let answer = try await world.operations("/livez")
            #expect(answer.status == 200)
        }
    }

    @Test(
        "while the agent is away no process takes its ports in the node's namespace, root included, and elsewhere everybody may"
    )
    func guardedPorts() async throws {
        try await withWorld { world in
            world.addServiceAccount("app")
            let onHost = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
            let pod = try await world.addPod("b", serviceAccount: "app")
            await (try await world.startAgent()).kill()
            for address in ["127.0.0.1", "0.0.0.0", LabNode.address, "::1", "::"] {
                for port in [Self.ports.lowerBound, Self.ports.upperBound] {
                    let holder = try? await Holder(world, address, port)
                    #expect(holder == nil, "\(address) \(port)")
                    await holder?.end()
                }
            }
            let free = try await Holder(world, "127.0.0.1", Self.ports.upperBound + 1)
            await free.end()
            let script = "import socket; socket.socket().bind(('127.0.0.1', \(AgentProcess.port)))"
            #expect(try await pod.run("python3", "-c", script).status == 0)
            #expect(try await onHost.run("python3", "-c", script).status != 0)
            #expect(try await onHost.run("curl", "-s", "--max-time", "60", "http://169.254.169.254/").status == 7)
            let agent = try await world.startAgent()
            #expect(try await onHost.token().expiresIn > 0)
            await agent.stop()
        }
    }
}
