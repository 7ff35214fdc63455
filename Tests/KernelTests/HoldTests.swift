import Attribution
import BPF
import Foundation
import Lab
import Testing

/// Connections that begin before their network namespace has a listener, and what tells the agent of such namespaces.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct HoldTests {
    private static let metadata = ["--address", LabNode.metadataAddress, "--expect", "ok", "/"]

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
            let id = try pod.network.run { try NetworkNamespaceID.current() }
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

    @Test("a held connection that nobody comes for is refused in the end, and never let to somebody else's listener")
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
            let id = try pod.network.run { try NetworkNamespaceID.current() }
            let sleeper = try pod.start(["sleep", "60"])
            try await log.wait { $0.contains { $0.reason == .exec && $0.namespace == id && $0.pod == podID } }
            #expect(try events.walk().contains { $0.reason == .walk && $0.namespace == id && $0.pod == podID })
            try lab.listeners.open(in: pod.network)
            let other = try await lab.node.addPod(RunningPodSpecification(name: "b", quality: .guaranteed))
            let before = log.events.count
            _ = try await pod.run("true")
            _ = try await other.run("true")
            let otherID = try other.network.run { try NetworkNamespaceID.current() }
            // Events are in order: the other pod's is the proof that there was none of the first before it.
            let later = try await log.wait { $0.contains { $0.namespace == otherID } }.dropFirst(before)
            #expect(!later.contains { $0.namespace == id })
            sleeper.signal(SIGKILL)
            _ = await sleeper.result()
        }
    }

    @Test("a pod that connects in one namespace after another uses up its own share of the queue alone")
    func share() async throws {
        try await withEvents { lab, log, _ in
            let hostile = try await lab.node.addPod(RunningPodSpecification(name: "hostile", quality: .guaranteed))
            let victim = try await lab.node.addPod(RunningPodSpecification(name: "victim", quality: .guaranteed))
            _ = try await hostile.run(
                "sh", "-c", "for i in $(seq 300); do unshare -n true & done; wait")
            let id = try victim.network.run { try NetworkNamespaceID.current() }
            let client = try lab.probe(victim, ["--address", LabNode.metadataAddress, "/"])
            try await log.wait { $0.contains { $0.namespace == id } }
            try lab.listeners.open(in: victim.network)
            try lab.answer(try lab.accept())
            #expect(await client.result().status == 0)
        }
    }
}
