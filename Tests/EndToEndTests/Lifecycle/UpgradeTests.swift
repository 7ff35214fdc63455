import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// The agent is replaced, restarted and killed while 200 connections ask it: half of them new for every request, half
/// kept.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct UpgradeTests {
    @Test("200 connections during three upgrades: no request fails, and each replaced agent ends by itself")
    func upgrade() async throws {
        try await withWorld { world in
            var agent = try await world.startAgent()
            let load = try await Load(world)
            try await agent.answered(atLeast: 400)
            for _ in 1...3 {
                let successor = try await world.startAgent()
                let replaced = await agent.result()
                #expect(replaced.status == 0, "\(replaced.errorOutput)")
                #expect(replaced.errorOutput.contains("handed over to a successor"))
                try await successor.answered(atLeast: 400)
                let status = try await successor.status()
                #expect(status.hooks.values.allSatisfy { $0 == "adopted" })
                #expect(status.requests["connections.reset.untagged"] == nil, "\(status.requests) \(status.kernel)")
                agent = successor
            }
            try await load.expectNoFailure("UPGRADE", atLeast: 1_500)
            #expect(await agent.stop().status == 0)
        }
    }

    @Test("200 connections during three graceful restarts as the kubelet makes them: no request fails")
    func restart() async throws {
        try await withWorld { world in
            let variable = ["env", "KUBERNETES_SERVICE_HOST=10.96.0.1"]
            var agent = try world.launchAgent(prefix: variable)
            try await agent.waitUntilReady()
            let load = try await Load(world)
            try await agent.answered(atLeast: 400)
            for _ in 1...3 {
                let successor = try world.launchAgent(prefix: variable)
                try await successor.waitUntilReady()
                #expect(await agent.stop().status == 0)
                try await successor.answered(atLeast: 400)
                agent = successor
            }
            try await load.expectNoFailure("RESTART", atLeast: 1_500)
            #expect(await agent.stop().status == 0)
            #expect(try await load.pods[0].run("curl", "-s", "http://169.254.169.254/").status == 7)
        }
    }

    @Test("200 connections during kill -9: refusals only, until the next agent serves; no wrong identity, no trap")
    func killed() async throws {
        try await withWorld { world in
            let first = try await world.startAgent()
            let load = try await Load(world)
            try await first.answered(atLeast: 400)
            let held = try await first.status().kernel["held"]
            await first.kill()
            // Long enough for every connection of the load to ask again.
            let refused = try await world.probe(
                load.pods[0], ["/", "--exchanges", "60", "--threads", "1", "--pause", "10"]
            ).loadReport()
            #expect(refused.refused == 60, "\(refused)")
            let second = try await world.startAgent()
            try await second.answered(atLeast: 400)
            let reports = try await load.reports()
            for report in reports {
                #expect(report.correct > 100 && report.wrong == 0, "\(report)")
                #expect(report.refused > 0, "\(report)")
                // The killed agent had at most one request of each connection in its hands.
                #expect(report.reset <= Load.connections / 2, "\(report)")
                #expect(report.failures.isEmpty, "\(report)")
                #expect(report.statuses.keys.allSatisfy { $0 == 503 }, "\(report)")
            }
            #expect(try await second.status().hooks.values.allSatisfy { $0 == "adopted" })
            // Refused until their listener is open, and not held until the kernel tries again after a second.
            #expect(try await second.status().kernel["held"] == held)
            #expect(world.cluster.trap?.connections == 0)
            print("KILLED \(reports)")
            await second.stop()
        }
    }

    @Test("a successor that cannot begin leaves the agent that runs as it is")
    func failedSuccessor() async throws {
        try await withAgentAndPod { world, agent, pod in
            _ = try await pod.token()
            let failed = try await world.launchAgent(["kubernetes.kubeconfig": "/nowhere/kubelet.conf"]).result()
            #expect(failed.status != 0 && failed.errorOutput.contains("/nowhere/kubelet.conf"))
            #expect(try await pod.token().expiresIn > 0)
            #expect(agent.isRunning)
            // The agent still hands over.
            try await replace(agent, in: world, asSeenFrom: pod)
        }
    }

    @Test("a successor that dies in the middle of the hand-over gives everything back")
    func brokenHandover() async throws {
        try await withAgentAndPod { world, agent, pod in
            // Hello, take, and then nothing: the lowest of what an agent says.
            let script = """
                import os, socket, struct, sys
                s = socket.socket(socket.AF_UNIX)
                s.connect(sys.argv[1])
                message = lambda kind: b"nidh" + struct.pack(">BBHII", 1, kind, 0, 0, 0)
                socket.send_fds(s, [message(1)], [os.open(sys.argv[2] + "/lock", os.O_PATH | os.O_NOFOLLOW)])
                data, descriptors, _, _ = socket.recv_fds(s, 16, 8)
                print(len(data), len(descriptors), data[5])
                s.send(message(3))
                print(s.recv(16)[5])
                """
            let endpoint = world.node.directory + "/handover.sock"
            #expect(
                try await Command.require(["python3", "-c", script, endpoint, world.pinDirectory]) == "16 1 2\n4\n")
            try await agent.log.first { $0.contains("this agent goes on") }
            #expect(try await pod.token().expiresIn > 0)
            #expect(agent.isRunning)
        }
    }

    @Test(
        "a kubepods cgroup that is made again before a successor fails is told to the programs before the agent goes on"
    )
    func recreatedKubepods() async throws {
        try await withAgent { world, agent in
            // Hello, take, and then nothing until it is killed.
            let script = """
                import os, socket, struct, sys
                s = socket.socket(socket.AF_UNIX)
                s.connect(sys.argv[1])
                message = lambda kind: b"nidh" + struct.pack(">BBHII", 1, kind, 0, 0, 0)
                socket.send_fds(s, [message(1)], [os.open(sys.argv[2] + "/lock", os.O_PATH | os.O_NOFOLLOW)])
                socket.recv_fds(s, 16, 8)
                s.send(message(3))
                print("taken", s.recv(16)[5], file=sys.stderr, flush=True)
                s.recv(16)
                """
            let successor = try Command(
                ["python3", "-c", script, world.node.directory + "/handover.sock", world.pinDirectory])
            try await successor.errorLines.first { $0 == "taken 4" }
            await CgroupTree.remove(world.node.cgroupDirectory(world.node.kubepods))
            try await world.node.makeKubepods()
            successor.signal(SIGKILL)
            let log = try await agent.log.wait { $0.contains { $0.contains("this agent goes on") } }
            let end = try #require(log.firstIndex { $0.contains("this agent goes on") })
            #expect(log[..<end].contains { $0.contains("the kubepods cgroup was made again") }, "\(log)")
            #expect(try await agent.status().incidents["kubepods_recreated"] == 1)
        }
    }

    @Test("a successor that fails with its programs attached gives them back: waiting connections are noticed")
    func reclaimedHooks() async throws {
        try await withAgentAndPod { world, agent, pod in
            // Passes hello and offer on between the agent and its successor, and ends both at the successor's take. A
            // directory has the place where the agent would pin its netfilter link again.
            let blocked = world.pinDirectory + "/links/forward4-next"
            let relay = """
                import os, socket, sys
                agent, place, blocked = sys.argv[1:]
                os.mkdir(os.path.dirname(place), 0o700)
                listener = socket.socket(socket.AF_UNIX)
                listener.bind(place)
                listener.listen()
                print("listening", file=sys.stderr, flush=True)
                successor, _ = listener.accept()
                predecessor = socket.socket(socket.AF_UNIX)
                predecessor.connect(agent)
                for one, other in [(successor, predecessor), (predecessor, successor)]:
                    data, descriptors, _, _ = socket.recv_fds(one, 16, 8)
                    socket.send_fds(other, [data], descriptors)
                print(successor.recv(16)[5])
                os.mkdir(blocked)
                """
            let other = world.node.directory + "/other"
            let between = try Command([
                "python3", "-c", relay, world.node.directory + "/handover.sock", other + "/handover.sock", blocked,
            ])
            try await between.errorLines.first { $0 == "listening" }
            let failed = await (try world.launchAgent(["admin.socket": other + "/admin.sock"])).result()
            #expect(failed.status != 0 && failed.errorOutput.contains("adopted"), "\(failed.errorOutput)")
            #expect(await between.result().output == "3\n")
            if LabKernel.hasNetfilterLinks {
                let failure = try await agent.log.first { $0.contains("this is tried again") }
                // The hooks were taken back: pins alone are left.
                #expect(failure.contains("cannot pin this agent's links"), "\(failure)")
                #expect(!agent.log.events.contains { $0.contains("cannot take hooks") })
            }
            try #require(unsafe rmdir(blocked) == 0)
            try await agent.log.first { $0.contains("the hooks ran the programs of another process") }
            try await agent.log.first { $0.contains("this agent goes on") }
            #expect(try await agent.status().incidents["hooks_reclaimed"] == 1)
            // A namespace that a process makes and stays in is reported with its connection alone.
            let late = """
                import ctypes, fcntl, socket, struct
                assert ctypes.CDLL(None).unshare(0x40000000) == 0
                s = socket.socket()
                fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 0x41))
                s.settimeout(60)
                s.connect(("169.254.169.254", 80))
                s.send(b"GET \(tokenPath) HTTP/1.1\\r\\nHost: 169.254.169.254\\r\\nMetadata-Flavor: Google\\r\\nConnection: close\\r\\n\\r\\n")
                print(b"".join(iter(lambda: s.recv(4096), b"")).decode())
                """
            let answer = try await pod.run("python3", "-c", late)
            #expect(answer.output.contains("access_token"), "\(answer)")
            #expect(try await pod.token().expiresIn > 0)
            try await replace(agent, in: world, asSeenFrom: pod)
        }
    }

    @Test("until the agent that runs has given way a successor changes none of its policies")
    func policiesBeforeTakeover() async throws {
        try await withAgent(["policies": "[{policy: deny, namespace: locked}]"]) { world, agent in
            let pod = try await world.addPod("a", namespace: "locked")
            try await agent.settled { $0.policies == 1 }
            // Passes hello and offer on between the agent and its successor, and keeps the successor's take.
            let relay = """
                import os, socket, sys
                agent, place = sys.argv[1:]
                os.mkdir(os.path.dirname(place), 0o700)
                listener = socket.socket(socket.AF_UNIX)
                listener.bind(place)
                listener.listen()
                print("listening", file=sys.stderr, flush=True)
                successor, _ = listener.accept()
                predecessor = socket.socket(socket.AF_UNIX)
                predecessor.connect(agent)
                for one, other in [(successor, predecessor), (predecessor, successor)]:
                    data, descriptors, _, _ = socket.recv_fds(one, 16, 8)
                    socket.send_fds(other, [data], descriptors)
                print("asked", successor.recv(16)[5], file=sys.stderr, flush=True)
                predecessor.recv(16)
                """
            let other = world.node.directory + "/other"
            let between = try Command([
                "python3", "-c", relay, world.node.directory + "/handover.sock", other + "/handover.sock",
            ])
            try await between.errorLines.first { $0 == "listening" }
            // No rule of the successor denies anything, and its programs are attached when it asks.
            let successor = try world.launchAgent(["admin.socket": other + "/admin.sock"])
            try await between.errorLines.first { $0 == "asked 3" }
            #expect(try await agent.status().policies == 1)
            #expect(try await pod.isRefused())
            let late = try await world.addPod("b", namespace: "locked")
            try await agent.settled { $0.policies == 2 }
            #expect(try await late.isRefused())
            #expect(await successor.result().status != 0)
            between.signal(SIGKILL)
            try await agent.log.first { $0.contains("this agent goes on") }
            #expect(try await agent.status().policies == 2)
        }
    }

    @Test("no user but root gets the sockets, and what is no message is refused")
    func strangers() async throws {
        try await withAgent { world, agent in
            let endpoint = world.node.directory + "/handover.sock"
            let attributes = try FileManager.default.attributesOfItem(atPath: endpoint)
            #expect((attributes[.posixPermissions] as? Int) == 0o600)
            let script = """
                import os, socket, sys
                s = socket.socket(socket.AF_UNIX)
                os.chmod(os.path.dirname(sys.argv[1]), 0o755); os.chmod(sys.argv[1], 0o666)
                if sys.argv[2] == "user": os.setuid(65534)
                s.connect(sys.argv[1])
                try:
                    s.send(b"nidh\\x09\\x01" + b"\\0" * 10)
                    print(len(s.recv(16)))
                except OSError:
                    print(0)
                """
            #expect(try await Command.require(["python3", "-c", script, endpoint, "user"]) == "0\n")
            try await agent.log.first { $0.contains("the peer is not root") }
            #expect(try await Command.require(["python3", "-c", script, endpoint, "root"]) == "0\n")
            try await agent.log.first { $0.contains("version 9") }
            #expect(agent.isRunning)
        }
    }

    @Test(
        "root without the pin directory gets no socket, and the agent accepts throughout",
        arguments: ["nothing", "a look-alike", "its own file system"])
    func unprovenRoot(proof: String) async throws {
        try await withAgentAndPod { world, agent, pod in
            // Hello and take, as a container does that has the run directory but not the BPF file system.
            let script = """
                import os, socket, struct, sys, tempfile
                s = socket.socket(socket.AF_UNIX)
                s.connect(sys.argv[1])
                message = lambda kind: b"nidh" + struct.pack(">BBHII", 1, kind, 0, 0, 1)
                place = tempfile.mkdtemp()
                if sys.argv[2] == "its own file system": os.system("mount -t bpf bpf " + place)
                os.symlink("podidentd", place + "/lock")
                proof = os.open(place + "/lock", os.O_PATH | os.O_NOFOLLOW)
                socket.send_fds(s, [message(1)], [] if sys.argv[2] == "nothing" else [proof])
                try:
                    s.send(message(3))
                    data, descriptors, _, _ = socket.recv_fds(s, 16, 8)
                except OSError:
                    data, descriptors = b"", []
                print(len(data), len(descriptors))
                """
            let endpoint = world.node.directory + "/handover.sock"
            let command = ["unshare", "--mount", "python3", "-c", script, endpoint, proof]
            #expect(try await Command.require(command) == "0 0\n")
            try await agent.log.first { $0.contains("does not prove that it sees the pin directory") }
            #expect(agent.isRunning)
            #expect(try await pod.token().expiresIn > 0)
            // A real successor still gets them.
            try await replace(agent, in: world, asSeenFrom: pod)
        }
    }

    @Test("a second agent that cannot take over names the process in its way, and leaves it alone")
    func secondAgent() async throws {
        try await withAgentAndPod { world, agent, pod in
            let other = world.node.directory + "/other"
            let second = await (try world.launchAgent(["admin.socket": other + "/admin.sock"])).result()
            #expect(second.status != 0)
            let error = second.errorOutput.split(separator: "\n").filter { $0.hasPrefix("Error:") }
            #expect(error.count == 1 && error[0].contains("PID \(agent.processIdentifier)"), "\(second.errorOutput)")
            #expect(try await pod.token().expiresIn > 0)
            #expect(try await agent.status().podsSynced)
        }
    }

    @Test(
        "under a supervisor a replaced agent waits: for its SIGTERM, or to serve again when its successor ends",
        arguments: [(["env", "KUBERNETES_SERVICE_HOST=10.96.0.1"], []), ([], ["--supervised"])])
    func supervised(variable: [String], options: [String]) async throws {
        try await withWorld { world in
            let first = try world.launchAgent(prefix: variable, options: options)
            try await first.waitUntilReady()
            let second = try world.launchAgent(prefix: variable, options: options)
            try await second.waitUntilReady()
            try await first.log.first { $0.contains("replaced; waiting") }
            let third = try world.launchAgent(prefix: variable, options: options)
            try await third.waitUntilReady()
            try await second.log.first { $0.contains("replaced; waiting") }
            #expect(first.isRunning)
            #expect(await second.stop().status == 0)
            #expect(first.isRunning)
            await third.kill()
            let ended = await first.result()
            #expect(ended.status == 0 && ended.errorOutput.contains("the successor has ended"))
        }
    }

    @Test(
        "a replaced agent that waits holds no guard of its own, which every packet would pass beside its successor's",
        .enabled(if: LabKernel.hasNetfilterLinks, "netfilter links came with Linux 6.4"))
    func releasedGuards() async throws {
        try await withWorld { world in
            let first = try world.launchAgent(options: ["--supervised"])
            try await first.waitUntilReady()
            #expect(try Self.netfilterLinks(heldBy: first) > 0)
            let second = try await world.startAgent()
            try await first.log.first { $0.contains("replaced; waiting") }
            #expect(try Self.netfilterLinks(heldBy: first) == 0)
            #expect(try Self.netfilterLinks(heldBy: second) > 0)
            #expect(await first.stop().status == 0)
            await second.stop()
        }
    }

    private static func netfilterLinks(heldBy agent: AgentProcess) throws -> Int {
        let directory = "/proc/\(agent.processIdentifier)/fdinfo/"
        return try FileManager.default.contentsOfDirectory(atPath: directory).count { name in
            // One may be closed meanwhile.
            let text = (try? String(contentsOfFile: directory + name, encoding: .utf8)) ?? ""
            return text.contains("link_type:\tnetfilter\n")
        }
    }

    /// Starts a successor, which must take over while `pod` goes on getting tokens.
    private func replace(_ agent: AgentProcess, in world: LabWorld, asSeenFrom pod: RunningPod) async throws {
        let successor = try await world.startAgent()
        #expect(await agent.result().status == 0)
        #expect(try await pod.token().expiresIn > 0)
        await successor.stop()
    }
}

/// 200 connections of two pods that never repeat a request: one fetches tokens, the other asks who it is.
struct Load {
    static let connections = 200

    let pods: [RunningPod]
    private let world: LabWorld
    private let commands: [Command]

    init(_ world: LabWorld) async throws {
        self.world = world
        world.addServiceAccount("tokens")
        world.addServiceAccount("emails", impersonating: "emails@lab-project.iam.gserviceaccount.com")
        let first = try await world.addPod("tokens", serviceAccount: "tokens")
        let second = try await world.addPod("emails", serviceAccount: "emails")
        pods = [first, second]
        let targets = [
            (first, "token", "\"ya29."), (second, "email", "emails@lab-project.iam.gserviceaccount.com"),
        ]
        commands = try targets.map { pod, path, expected in
            try world.probe(
                pod,
                [
                    "/computeMetadata/v1/instance/service-accounts/default/" + path, "--exchanges", "100000000",
                    "--seconds", "600", "--threads", "\(Self.connections / 2)",
                    "--kept", "\(Self.connections / 4)", "--pause", "100", "--expect", expected,
                ])
        }
    }

    /// Ends the load.
    func reports() async throws -> [ProbeLoad.Report] {
        var reports: [ProbeLoad.Report] = []
        for command in commands { reports.append(try await command.stoppedLoadReport()) }
        return reports
    }

    func expectNoFailure(_ name: String, atLeast count: Int) async throws {
        let reports = try await reports()
        for report in reports { #expect(report.correct == report.total && report.total > 200, "\(report)") }
        #expect(reports.map(\.total).reduce(0, +) >= count)
        #expect(world.cluster.trap?.connections == 0)
        print("\(name) \(reports.map(\.correct).reduce(0, +)) requests, none failed")
    }
}

extension AgentProcess {
    /// Asks the agent, again and again for at most a minute, until it has answered so many requests.
    func answered(atLeast count: UInt64) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while true {
            let answers = try await status().requests.filter { $0.key.hasPrefix("answers.") }.values.reduce(0, +)
            if answers >= count { return }
            guard ContinuousClock.now < deadline else { throw LabError("\(answers) answers in a minute") }
        }
    }
}

/// How the agent begins and ends by itself.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct StopTests {
    @Test("a stopped agent answers what it has begun, and its hooks stay")
    func inFlight() async throws {
        try await withAgent(["log.level": "debug"]) { world, agent in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
            world.cluster.securityTokenServiceServer.faults.inject(.delay(.milliseconds(800)))
            async let answer = pod.ask()
            // The exchange follows.
            try await world.cluster.kubernetesServer.requests.first { $0.path.hasSuffix("/token") }
            let stopped = await agent.stop()
            #expect(stopped.status == 0, "\(stopped.errorOutput)")
            #expect(try await answer.status == 200)
            #expect(stopped.errorOutput.contains("token minted"))
            #expect(try await pod.run("curl", "-s", "http://169.254.169.254/").status == 7)
            #expect(world.cluster.trap?.connections == 0)
        }
    }

    @Test("stopping takes no longer than it may")
    func bounded() async throws {
        try await withAgent(["shutdown.drain-seconds": "0"]) { world, agent in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
            world.cluster.securityTokenServiceServer.faults.inject(.hang)
            let client = try pod.start(RunningPod.askCommand(tokenPath))
            try await world.cluster.kubernetesServer.requests.first { $0.path.hasSuffix("/token") }
            #expect(await agent.stop().status == 0)
            // Cut off, hence no answer and no status.
            #expect(!(await client.result().output.contains("access_token")))
        }
    }

    @Test("without an API server the first agent serves and says that requests are held")
    func withoutPods() async throws {
        try await withWorld { world in
            let pod = try await world.addPod("a", isHostNetwork: true)
            await world.cluster.kubernetesServer.takeDown()
            let agent = try await world.startAgent()
            #expect(agent.log.events.contains { $0.contains(" ready") && $0.contains("not listed yet") })
            #expect(try await pod.ask().status == 503)
            #expect(world.cluster.trap?.connections == 0)
            await agent.stop()
        }
    }
}
