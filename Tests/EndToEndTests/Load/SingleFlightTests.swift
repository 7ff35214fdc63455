import AgentTesting
import Foundation
import Lab
import Testing

/// However many ask, each pod costs one call of each kind, and no pod waits for another.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct SingleFlightTests {
    private static let account = "app@lab-project.iam.gserviceaccount.com"

    @Test func `case 70 a hundred first requests of one pod are one TokenRequest, one exchange, one IAM call`()
        async throws
    {
        try await withAgent { world, _ in
            world.addServiceAccount("app", impersonating: Self.account)
            let pod = try await world.addPod("a", serviceAccount: "app")
            // Slow enough for all hundred to arrive while the first exchange is under way.
            world.cluster.securityTokenServiceServer.faults.inject(.delay(.milliseconds(1000)))
            let load = try world.probe(
                pod, ["--threads", "100", "--exchanges", "100", "--expect", "\"ya29.c.", tokenPath])
            let report = try await report(of: load)
            #expect(report.correct == 100, "\(report)")
            expectOneOfEach(world, of: pod)
            #expect(world.cluster.kubernetes.mints.total == 1)
            #expect(world.cluster.ledger.count == 2)
        }
    }

    @Test("a hundred pods are a hundred of each, and none waits for the one whose exchange hangs")
    func manyPods() async throws {
        try await withAgent { world, _ in
            world.addServiceAccount("app", impersonating: Self.account)
            var pods: [RunningPod] = []
            for number in 1...100 {
                pods.append(try await world.addPod("pod-\(number)", serviceAccount: "app", isHostNetwork: true))
            }
            let stuck = pods[50]
            world.cluster.securityTokenServiceServer.faults.inject(.hang) { $0.subjectClaims.contains(stuck.uid) }
            let ended = try await askTogether(pods, gate: world.node.directory + "/gate")
            for (pod, answer) in ended.map({ (pods[$0], $1) }) where pod !== stuck {
                #expect(answer.status == 200, "\(pod.name): \(answer.body)")
                expectOneOfEach(world, of: pod)
                #expect(try world.owner(of: answer).subject.podUID == pod.uid)
            }
            let (last, answer) = try #require(ended.last)
            #expect(last == 50, "all others are answered before the one that hangs gives up")
            #expect(answer.status == 503)
            #expect(answer.retryAfter != nil)
            #expect(answer.body.contains("Google STS"))
            world.cluster.securityTokenServiceServer.faults.clear()
            _ = try await stuck.ask(within: .seconds(60)) { $0.status == 200 }
        }
    }

    /// Lets all pods ask at the same moment: each waits for a lock that is held until the last one waits.
    ///
    /// - Returns: The answers in the order of their ends, each with its pod's index.
    private func askTogether(_ pods: [RunningPod], gate: String) async throws -> [(Int, MetadataResponse)] {
        let lock = unsafe open(gate, O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        try #require(lock >= 0 && flock(lock, LOCK_EX) == 0)
        let clients = try pods.map { try $0.start(["flock", "--shared", gate] + RunningPod.askCommand(tokenPath)) }
        close(lock)
        return try await withThrowingTaskGroup(of: (Int, MetadataResponse).self) { group in
            for (index, client) in clients.enumerated() {
                group.addTask { (index, try MetadataResponse(curl: await client.result().output)) }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
    }

    private func expectOneOfEach(_ world: LabWorld, of pod: RunningPod) {
        let cluster = world.cluster
        #expect(cluster.kubernetes.mints.events.count { $0.podUID == pod.uid } == 1)
        let exchanges = cluster.securityTokenService.log.events.filter { $0.subject.podUID == pod.uid }
        #expect(exchanges.count == 1)
        let calls = cluster.iamCredentialsServer.requests.events.filter { record in
            record.request.bearerToken.flatMap(cluster.ledger.describe)?.subject.podUID == pod.uid
        }
        #expect(calls.count == 1)
    }

    private func report(of load: Command) async throws -> ProbeLoad.Report {
        let result = await load.result()
        guard result.succeeded else { throw LabError("the load ended with \(result.status): \(result.errorOutput)") }
        return try JSONDecoder().decode(ProbeLoad.Report.self, from: Data(result.output.utf8))
    }
}
