import AgentTesting
import Foundation
import Lab
import Testing

/// The fault table: what pods see while something around the agent is broken, and how soon they see nothing of it any
/// more. Each row is a line of the log that begins with FAULT.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct FaultTests {
    /// Ends a test that hangs. How soon the agent answers and recovers is held by a simulated clock in `TokensTests`.
    private static let deadline = Duration.seconds(60)
    /// Worlds at the same time: they mostly wait.
    private static let concurrency = 8

    @Test(
        "an upstream's fault has its status, its words and its time, and its end is enough to recover",
        arguments: Upstream.allCases
    )
    func faults(upstream: Upstream) async throws {
        let table = Array(FaultCase.table(upstream).enumerated())
        // The long ones first: at the end of the table there would be nothing left to wait beside them.
        let order = table.filter { $0.element.isLong } + table.filter { !$0.element.isLong }
        let rows = try await concurrently(order, limit: Self.concurrency) { place, fault in
            (place, try await row(fault, of: upstream))
        }
        for (_, row) in rows.sorted(by: { $0.0 < $1.0 }) { print(row) }
    }

    @Test(
        "a fault around the agent harms no pod for long, gives no pod another identity, and is logged and counted",
        arguments: Surroundings.allCases)
    func surroundings(_ surroundings: Surroundings) async throws {
        let rows = try await concurrently(surroundings.faults, limit: 4) { fault in
            do {
                return try await fault.row()
            } catch {
                Issue.record("\(fault.name): \(error)")
                return "FAULT \(fault.name) | failed: \(error)"
            }
        }
        for row in rows { print(row) }
    }

    enum Surroundings: CaseIterable {
        case apiServer, node, kernel

        var faults: [Fault] {
            switch self {
            case .apiServer: Fault.apiServer
            case .node: Fault.node
            case .kernel: Fault.kernel
            }
        }
    }

    @Test("a node whose clock is wrong gives tokens their true life", arguments: [600, -600])
    func clock(seconds: Int) async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("plain")
            world.addServiceAccount("app", impersonating: "app@lab-project.iam.gserviceaccount.com")
            let first = try await world.addPod("first", serviceAccount: "plain", isHostNetwork: true)
            _ = try await first.token()
            try await world.rotateNodeCertificate(agent, notAfter: Date(timeIntervalSinceNow: 86_400))
            world.cluster.clock.advance(by: .seconds(seconds))
            for (name, account) in [("federated", "plain"), ("impersonating", "app")] {
                let pod = try await world.addPod(name, serviceAccount: account, isHostNetwork: true)
                let answer = try await pod.ask()
                let token = try #require(answer.token, "\(answer.body)")
                #expect((3590...3600).contains(token.expiresIn))
                let row = FaultRow(sees: "a \(name) token for \(token.expiresIn) s", answered: answer.duration)
                print(row.text(name: "everybody's clock but the node's \(seconds) s ahead"))
            }
        }
    }

    /// Runs one fault in a world of its own, and returns its line of the table.
    private func row(_ fault: FaultCase, of upstream: Upstream) async throws -> String {
        var text = ""
        try await withAgent(configure: fault.configure) { world, agent in
            let account = upstream == .iam ? "app@lab-project.iam.gserviceaccount.com" : nil
            world.addServiceAccount("cached", impersonating: account)
            world.addServiceAccount("new", impersonating: account)
            let cached = try await world.addPod("cached", serviceAccount: "cached", isHostNetwork: true)
            let token = try await cached.token().accessToken
            let server = upstream.server(world.cluster)
            let pod = try await Self.newPod(world)
            let before = try await agent.failures()
            try await fault.begin(world, agent, server)

            async let undisturbed = cached.ask()
            let answer = try await pod.ask()
            let what = "\(upstream) \(fault.name)"
            for other in [try await undisturbed, try await cached.ask()] {
                #expect(other.token?.accessToken == token, "\(what): a cached token is disturbed: \(other.body)")
            }
            var row = FaultRow(sees: "", answered: answer.duration)
            switch fault.outcome {
            case .token(let seconds, let length):
                let token = try #require(answer.token, "\(what): \(answer.status) \(answer.body)")
                #expect((seconds - 15...seconds).contains(token.expiresIn), "\(what)")
                #expect(token.accessToken.utf8.count >= length, "\(what)")
                row.sees = "its own token, \(token.expiresIn) s left, \(token.accessToken.utf8.count) bytes"
                try await fault.end(world, agent, server)
            case .failure(let words, let status, let retryAfter):
                #expect(answer.status == status, "\(what)")
                #expect(answer.body.contains((fault.blamed ?? upstream).name), "\(what): \(answer.body)")
                #expect(answer.body.contains(words), "\(what): \(answer.body)")
                #expect(answer.retryAfter.map(retryAfter.contains) == true, "\(what)")
                row.log = try await Self.expectLogLine(
                    agent, what: what, fault.blamed ?? upstream, fault.logged ?? words)
                let risen = try await agent.failures().filter { $0.value > before[$0.key, default: 0] }
                #expect(!risen.isEmpty, "\(what): no counter")
                row.counter = risen.map { "\($0.key) +\($0.value - before[$0.key, default: 0])" }.sorted().first
                try await fault.end(world, agent, server)
                let recovered = try await pod.ask(within: Self.deadline) {
                    $0.status == 200
                }
                #expect(try world.owner(of: recovered.answer).subject.podUID == pod.uid, "\(what)")
                row.recovered = recovered.after
                row.sees = "\(answer.status), Retry-After \(answer.retryAfter ?? 0), "
                row.sees += "\"\(answer.body.prefix { $0 != "\n" })\""
            }
            #expect(agent.isRunning, "\(what): the agent has ended")
            text = row.text(name: what)
        }
        return text
    }

    /// A pod that the agent knows and that has no token yet.
    private static func newPod(_ world: LabWorld) async throws -> RunningPod {
        let pod = try await world.addPod("new", serviceAccount: "new", isHostNetwork: true)
        // A path that needs no account needs the pod's record only.
        _ = try await pod.ask("/computeMetadata/v1/project/project-id")
        return pod
    }

    /// The words of the log's line about it.
    private static func expectLogLine(
        _ agent: AgentProcess, what: String, _ upstream: Upstream, _ words: String
    ) async throws -> String? {
        do {
            let line = try await agent.log.first(within: Self.deadline) { line in
                line.contains("warning") && line.contains("upstream=\(upstream.rawValue)") && line.contains(words)
            }
            return line.firstRange(of: "] ").map { String(line[$0.upperBound...]) }
        } catch is DeadlineExceeded {
            Issue.record("\(what): no log line about it: \(agent.log.events.joined(separator: "\n"))")
            return nil
        }
    }
}

extension AgentProcess {
    /// How often upstreams failed it, by how.
    fileprivate func failures() async throws -> [String: UInt64] {
        try await counters().filter { name, _ in
            (name.hasPrefix("incidents.tokens.") || name.hasPrefix("incidents.accounts."))
                && !name.hasSuffix(".succeeded") && !name.hasSuffix(".discarded")
        }
    }
}
