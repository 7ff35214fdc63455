import Attribution
import BPF
import Foundation
import Lab
import Testing

/// Connections that begin before their network namespace has a listener, and what tells the agent of such namespaces.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct HoldTests {
    private static let metadata = ["--address", LabNode.metadataAddress, "--expect", "ok", "/"]

    /// Before Linux 5.12 a namespace has no cookie until a process in it connects, and no event without one is told.
    private static let needsCookies = ConditionTrait.enabled(
        if: LabKernel.makesCookies, "namespaces have cookies from their making since Linux 5.12")

    private func withEvents(
        _ body: (DatapathLab, EventLog<NamespaceEvent>, NamespaceEvents) async throws -> Void
    ) async throws {
        try await withDatapath { lab in
            let log = EventLog<NamespaceEvent>()
            let events = try NamespaceEvents(lab.datapath) { log.record($0) }
            try await body(lab, log, events)
            events.stop()
        }
    }

    @Test(
        "a held connection brings an event, and goes on when there is a listener",
        arguments: [LabNode.metadataAddress, "::ffff:169.254.169.254", LabNode.metadataAddress6])
    func held(address: String) async throws {
        try await withEvents { lab, log, _ in
            let pod = try await lab.node.addPod(RunningPodSpecification(name: "a", quality: .guaranteed))
            let id = try pod.network.run { try lab.datapath.ownNamespace() }
            let client = try lab.probe(pod, ["--address", address, "/"])
            let event = try #require(
                try await log.wait { $0.contains { $0.reason == .connect } }.first { $0.reason == .connect })
            #expect(event.namespace == id)
            #expect(event.pod == lab.cgroups.id(of: [UInt8](pod.cgroup.utf8)))
            #expect(event.cgroup == lab.cgroups.id(of: [UInt8](pod.containerCgroup.utf8)))
            #expect(try lab.datapath.counters()["held"] == 1)
            try lab.listeners.open(in: pod.network)
            let connection = try lab.accept()
            #expect(lab.datapath.tag(ofAcceptedSocket: connection) != nil)
            try lab.answer(connection)
            #expect(await client.result().status == 0)
            #expect(try lab.datapath.counters()["held_expired"] == 0)
        }
    }

    @Test("a held connection without a listener is refused in the end, and never let to another process's listener")
    func expired() async throws {
        try await withEvents { lab, log, _ in
            let trap = try lab.node.network.listen(host: LabNode.metadataAddress, port: 80)
            defer { close(trap) }
            let pod = try await lab.node.addPod(RunningPodSpecification(name: "a", quality: .guaranteed))
            let refused = try await lab.probe(pod, ["--address", LabNode.metadataAddress, "/"]).result()
            #expect(refused.status == 7, "\(refused)")
            #expect(try lab.datapath.counters()["held_expired"] == 1)
            #expect(try lab.datapath.counters()["held_dropped"] >= 2)
            try await log.wait { $0.contains { $0.reason == .held } }
            let squatter = try pod.network.listen(host: "127.0.0.1", port: Int(PodListeners.ports.upperBound))
            defer { close(squatter) }
            let client = try await pod.run("curl", "-s", "--max-time", "4", "http://169.254.169.254/")
            #expect(client.status == 28, "\(client)")
            #expect(!lab.hasConnection(on: squatter))
            #expect(!lab.hasConnection(on: trap))
            #expect(try lab.datapath.counters()["held_expired"] == 1)
        }
    }

    @Test("hooks that a successor took, which ended before it served, are taken back, and their events come again")
    func reclaimed() async throws {
        try await withEvents { lab, log, _ in
            let (configuration, datapath, node) = (lab.configuration, lab.datapath, lab.node)
            let machine = try CgroupFileSystem(mountPoint: node.cgroupMountPoint)
            let kubepods = try #require(try lab.cgroups.locate([UInt8](node.kubepods.utf8)))
            #expect(datapath.foreignHooks == [])
            let pins = try HeldPins(configuration.pinDirectory)
            try node.network.run {
                let successor = try Datapath.guarded(configuration, cgroups: machine)
                try successor.setKubepods(KubepodsCgroup(id: kubepods.id, level: kubepods.level))
            }
            #expect(datapath.foreignHooks.count == 7, "\(datapath.foreignHooks)")
            try datapath.reclaim()
            try pins.putBack()
            #expect(datapath.foreignHooks == [] && datapath.missingHooks == [])
            let pod = try await node.addPod(RunningPodSpecification(name: "a", quality: .guaranteed))
            let id = try pod.network.run { try datapath.ownNamespace() }
            let client = try lab.probe(pod, Self.metadata)
            try await log.wait { $0.contains { $0.reason == .connect && $0.namespace == id } }
            try lab.listeners.open(in: pod.network)
            try lab.answer(try lab.accept())
            #expect(await client.result().status == 0)
        }
    }

    @Test("a connection that waits for one port is not let to another's listener")
    func otherPort() async throws {
        try await withEvents { lab, log, _ in
            let pod = try await lab.node.addPod(RunningPodSpecification(name: "a", quality: .guaranteed))
            let client = try lab.probe(pod, ["--address", LabNode.metadataAddress, "/"])
            try await log.wait { $0.contains { $0.reason == .connect } }
            try lab.listeners.open(in: pod.network, port: PodListeners.ports.upperBound - 1)
            #expect(await client.result().status == 7)
            let next = try lab.probe(pod, ["--address", LabNode.metadataAddress, "/"])
            let connection = try lab.accept()
            #expect(lab.datapath.tag(ofAcceptedSocket: connection) != nil)
            try lab.answer(connection)
            #expect(await next.result().status == 0)
        }
    }

    @Test("an execution in a pod is told while the agent does not listen there, and a walk finds the process")
    func executions() async throws {
        try await withEvents { lab, log, events in
            let pod = try await lab.node.addPod(RunningPodSpecification(name: "a", quality: .guaranteed))
            let podID = try #require(lab.cgroups.id(of: [UInt8](pod.cgroup.utf8)))
            let id = try pod.network.run { try lab.datapath.ownNamespace() }
            // The first may be kept back: the namespace was told a moment ago, when the process entered it.
            let sleeper = try pod.start(["sh", "-c", "while env true; do :; done"])
            try await log.wait { $0.contains { $0.reason == .exec && $0.namespace == id && $0.pod == podID } }
            #expect(try events.walk().contains { $0.reason == .walk && $0.namespace == id && $0.pod == podID })
            sleeper.signal(SIGKILL)
            _ = await sleeper.result()
            // Events are in order: another pod's is the proof of what was told before it.
            func settle(_ name: String) async throws -> Int {
                let other = try await lab.node.addPod(RunningPodSpecification(name: name, quality: .guaranteed))
                // Before Linux 5.12 events of a namespace without a cookie name none.
                let id = try other.network.run { try lab.datapath.ownNamespace() }
                _ = try await other.run("true")
                let events = try await log.wait { $0.contains { $0.namespace == id } }
                return try #require(events.firstIndex { $0.namespace == id })
            }
            let before = try await settle("b")
            try lab.listeners.open(in: pod.network)
            _ = try await pod.run("true")
            let after = try await settle("c")
            #expect(!log.events[before...after].contains { $0.namespace == id })
        }
    }

    @Test(
        "a namespace that a pod's process has made is told with the next process, before that executes anything",
        Self.needsCookies)
    func entries() async throws {
        try await withEvents { lab, log, _ in
            let pod = try await lab.node.addPod(RunningPodSpecification(name: "a", quality: .guaranteed))
            let podID = try #require(lab.cgroups.id(of: [UInt8](pod.cgroup.utf8)))
            let own = try pod.network.run { try lab.datapath.ownNamespace() }
            let sleeper = try pod.start(["unshare", "--net", "--fork", "--kill-child", "sleep", "60"])
            let isNew: @Sendable (NamespaceEvent) -> Bool = { $0.pod == podID && $0.namespace != own }
            let first = try #require(try await log.wait { $0.contains(where: isNew) }.first(where: isNew))
            #expect(first.reason == .enter)
            #expect(UInt64(first.namespace.inode) == Self.namespace(of: Int(first.process)))
            sleeper.signal(SIGKILL)
            _ = await sleeper.result()
        }
    }

    @Test("a process that is moved into a pod is told with the namespace that it brings", Self.needsCookies)
    func arrivals() async throws {
        try await withEvents { lab, log, _ in
            let pod = try await lab.node.addPod(RunningPodSpecification(name: "a", quality: .guaranteed))
            let podID = try #require(lab.cgroups.id(of: [UInt8](pod.cgroup.utf8)))
            let sleeper = try Command(["unshare", "--net", "--fork", "--kill-child", "sleep", "60"])
            let child = try await Self.child(of: sleeper, depth: 1)[0]
            // An execution in the pod would be told as well, perhaps first.
            try await Self.sleeps(in: "sleep", child)
            let members = lab.node.cgroupDirectory(pod.containerCgroup) + "/cgroup.procs"
            try "\(child)\n".write(toFile: members, atomically: false, encoding: .utf8)
            let isIts: @Sendable (NamespaceEvent) -> Bool = { $0.process == Int32(child) }
            let event = try #require(try await log.wait { $0.contains(where: isIts) }.first(where: isIts))
            #expect(event.reason == .enter)
            #expect(event.pod == podID)
            #expect(event.cgroup == lab.cgroups.id(of: [UInt8](pod.containerCgroup.utf8)))
            #expect(UInt64(event.namespace.inode) == Self.namespace(of: child))
            sleeper.signal(SIGKILL)
            _ = await sleeper.result()
        }
    }

    private static func namespace(of process: Int) -> UInt64? {
        var status = stat()
        return unsafe stat("/proc/\(process)/ns/net", &status) == 0 ? UInt64(status.st_ino) : nil
    }

    @Test("a pod that connects in one namespace after another uses up its own share of the queue alone")
    func share() async throws {
        try await withEvents { lab, log, _ in
            let hostile = try await lab.node.addPod(RunningPodSpecification(name: "hostile", quality: .guaranteed))
            let victim = try await lab.node.addPod(RunningPodSpecification(name: "victim", quality: .guaranteed))
            _ = try await hostile.run(
                "sh", "-c", "for i in $(seq 300); do unshare -n true & done; wait")
            let id = try victim.network.run { try lab.datapath.ownNamespace() }
            let client = try lab.probe(victim, ["--address", LabNode.metadataAddress, "/"])
            try await log.wait { $0.contains { $0.namespace == id } }
            try lab.listeners.open(in: victim.network)
            try lab.answer(try lab.accept())
            #expect(await client.result().status == 0)
        }
    }

    /// A node may be a container, whose agent sees its processes by other numbers than the machine does.
    @Test("processes are reported by their IDs in the agent's PID namespace, and by none where it does not see them")
    func nestedProcesses() async throws {
        try await withEvents { lab, log, events in
            let pod = try await lab.node.addPod(RunningPodSpecification(name: "a", quality: .guaranteed))
            let id = try pod.network.run { try lab.datapath.ownNamespace() }
            let holder = try pod.start(["unshare", "--pid", "--fork", "--kill-child", "sleep", "60"])
            let first = try await Self.child(of: holder)
            var status = stat()
            try #require(unsafe stat("/proc/\(first[0])/ns/pid", &status) == 0)
            try lab.datapath.setNode(
                NetworkNamespaceID(cookie: 0, inode: 0), agentCgroup: CgroupID(rawValue: 0),
                processNamespace: UInt32(truncatingIfNeeded: status.st_ino))
            // The pod's first process is outside of that namespace.
            #expect(try events.walk().first { $0.namespace == id }?.process == 0)
            let enter = ["nsenter", "--target", "\(first[0])", "--pid", "--"]
            let client = try Command(
                enter + pod.commandLine(["curl", "-s", "--max-time", "20", "http://169.254.169.254/"]))
            let event = try #require(
                try await log.wait { $0.contains { $0.reason == .held } }.first { $0.reason == .held })
            #expect(Int(event.process) == (try await Self.child(of: client))[1])
            for command in [client, holder] {
                command.signal(SIGKILL)
                _ = await command.result()
            }
        }
    }

    /// Waits until a process sleeps in a program: it has the name before its execution is told.
    private static func sleeps(in program: String, _ process: Int) async throws {
        let deadline = ContinuousClock.now + .seconds(60) * LabKernel.patience
        while try !String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8).contains("(\(program)) S ") {
            guard ContinuousClock.now < deadline else { throw LabError("\(process) does not sleep in \(program)") }
            await Task.yield()
        }
    }

    /// The IDs of a command's only child, in each of its `depth` PID namespaces, the outer one first.
    private static func child(of command: Command, depth: Int = 2) async throws -> [Int] {
        let process = command.processIdentifier
        let deadline = ContinuousClock.now + .seconds(60) * LabKernel.patience
        while ContinuousClock.now < deadline {
            let children = try String(contentsOfFile: "/proc/\(process)/task/\(process)/children", encoding: .utf8)
            if let child = children.split(separator: " ").first,
                let status = try? String(contentsOfFile: "/proc/\(child)/status", encoding: .utf8),
                let line = status.split(separator: "\n").first(where: { $0.hasPrefix("NSpid:") })
            {
                let numbers = line.split(separator: "\t").dropFirst().compactMap { Int($0) }
                if numbers.count == depth { return numbers }
            }
            await Task.yield()
        }
        throw LabError("no child in a PID namespace of its own in time")
    }
}
