import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// Disturbances that running pods meet every day: late watches, restarts, rotations, deletions. None of it fails a
/// request, and none of it leaves anything behind.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct DisturbanceTests {
    @Test("a first request before the late watch shows the pod is held and answered")
    func lateWatch() async throws {
        try await withAgent { world, _ in
            world.addServiceAccount("app")
            // Longer than this suite may last: what is answered is answered before the watch shows its pod.
            world.cluster.kubernetes.setWatchDelay(.seconds(3600))
            for number in 1...3 {
                let pod = try await world.addPod("a\(number)", serviceAccount: "app", isHostNetwork: true)
                let answer = try await pod.ask()
                #expect(answer.status == 200, "\(answer.body)")
            }
        }
    }

    @Test("a first request before the API server has the pod is held and answered")
    func lateObject() async throws {
        try await withAgent { world, _ in
            world.addServiceAccount("app")
            let specification = RunningPodSpecification(name: "a", isHostNetwork: true)
            let pod = try await world.node.addPod(specification)
            let lists = world.cluster.kubernetesServer.requests.events.count { Self.isList($0) }
            async let held = pod.ask()
            // The miss makes the agent list once more, which finds nothing yet.
            try await world.cluster.kubernetesServer.requests.wait { $0.count { Self.isList($0) } > lists }
            world.cluster.kubernetes.createPod(
                namespace: "default", name: "a", serviceAccount: "app", node: LabWorld.nodeName, uid: specification.uid)
            let answer = try await held
            #expect(answer.status == 200, "\(answer.body)")
            #expect(try world.owner(of: answer).subject.podUID == pod.uid)
        }
    }

    private static func isList(_ record: LabRequestRecord) -> Bool {
        record.path == "/api/v1/pods" && record.request.query("watch") == nil
    }

    @Test("a restart of the API server fails no request, not even a pod's first")
    func restart() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            let pod = try await world.addPod("load", serviceAccount: "app")
            _ = try await pod.token()
            let load = try world.probe(
                pod, ["--exchanges", "100000000", "--seconds", "600", "--expect", "ya29.", tokenPath])
            for number in 1...4 {
                world.cluster.kubernetes.restart()
                let new = try await world.addPod("new-\(number)", serviceAccount: "app", isHostNetwork: true)
                let answer = try await new.ask()
                #expect(answer.status == 200, "\(answer.body)")
            }
            try await agent.serves(more: 100)
            let report = try await load.stoppedLoadReport()
            #expect(report.correct == report.total && report.total > 100, "\(report)")
            print("RESTART 4 restarts of the API server, \(report.correct) of \(report.total) requests answered")
        }
    }

    @Test("a rotation of the node's certificate fails no request, and the old certificate is used no more")
    func rotation() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            let requests = world.cluster.kubernetesServer.requests
            var used: Set<[UInt8]> = []
            for rotation in 0..<3 {
                for number in 1...5 {
                    let pod = try await world.addPod(
                        "a-\(rotation)-\(number)", serviceAccount: "app", isHostNetwork: true)
                    let answer = try await pod.ask()
                    #expect(answer.status == 200, "\(answer.body)")
                    await world.deletePod(pod)
                }
                let old = Set(requests.events.compactMap(\.request.clientCertificate))
                #expect(old.subtracting(used).count == 1, "one new certificate was used")
                used = old
                let pod = try await world.addPod("during-\(rotation)", serviceAccount: "app", isHostNetwork: true)
                try await world.rotateNodeCertificate(agent, notAfter: Date(timeIntervalSinceNow: 86_400))
                requests.clear()
                let new = try await world.addPod("after-\(rotation)", serviceAccount: "app", isHostNetwork: true)
                #expect(try await new.ask().status == 200)
                #expect(try await pod.ask().status == 200)
                let current = Set(requests.events.compactMap(\.request.clientCertificate))
                #expect(current.count == 1 && current.isDisjoint(with: used))
                #expect(requests.events.allSatisfy { $0.status.map { $0 < 300 } ?? false })
                #expect(requests.events.allSatisfy { $0.user == "system:node:\(LabWorld.nodeName)" })
                await world.deletePod(pod)
                await world.deletePod(new)
            }
        }
    }

    @Test("a connection that outlives its pod gets nothing, and nothing of the pod is kept")
    func deletedPod() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
            let gate = world.node.directory + "/gate"
            try await Command.require(["mkfifo", gate])
            let client = try pod.start(["bash", "-c", Self.keptAliveClient, "bash", tokenPath, gate])
            try await client.errorLines.first { $0.hasPrefix("HTTP/1.1 200") }
            #expect(try await agent.status().tokenEntries == 1)

            // The client survives its pod, as a process does that has been moved.
            for process in try Self.processes(world, pod) {
                try Data("\(process)\n".utf8).write(
                    to: URL(fileURLWithPath: world.node.cgroupDirectory("/\(world.node.identifier)/cgroup.procs")))
            }
            await world.deletePod(pod)
            let deadline = ContinuousClock.now + .seconds(60) * LabKernel.patience
            while try await agent.status().tokenEntries > 0, ContinuousClock.now < deadline {}
            #expect(try await agent.status().tokenEntries == 0)
            try await Command.require(["bash", "-c", "echo > \"$0\"", gate])
            let result = await client.result()
            let answers = result.output.split(separator: "HTTP/1.1 ").map(String.init)
            #expect(answers.count == 2 && answers[0].hasPrefix("200"), "\(result.output)")
            #expect(answers.last?.hasPrefix("403") == true && answers.last?.contains("ya29") == false)
        }
    }

    /// Asks, waits for the gate to open, and asks again on the same connection.
    private static let keptAliveClient = """
        exec 3<> /dev/tcp/169.254.169.254/80
        ask() { printf 'GET %s HTTP/1.1\\r\\nHost: 169.254.169.254\\r\\nMetadata-Flavor: Google\\r\\n%s\\r\\n' "$@" >&3; }
        tee /dev/stderr <&3 & reader=$!
        ask "$1" ''
        read -r < "$2"
        ask "$1" $'Connection: close\\r\\n'
        wait $reader
        """

    private static func processes(_ world: LabWorld, _ pod: RunningPod) throws -> [Substring] {
        let path = world.node.cgroupDirectory(pod.containerCgroup) + "/cgroup.procs"
        return try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
    }
}
