import AgentTesting
import Foundation
import Lab
import Operations
import Synchronization
import Testing

/// A world with a running agent and a pod that has had its token, and what faults are observed with.
final class FaultStage: Sendable {
    /// The outcome of a pod that asked once, with a client's patience.
    enum Outcome: Sendable {
        case answered(MetadataResponse)
        /// curl's exit status: 7 refused, 28 out of patience, 56 reset.
        case failed(Int32)

        var text: String {
            switch self {
            case .answered(let answer) where answer.status == 200: "its own token"
            case .answered(let answer): "\(answer.status) \(answer.body.prefix { $0 != "\n" })"
            case .failed(7): "connection refused"
            case .failed(28): "no answer within its patience"
            case .failed(56), .failed(52): "connection reset"
            case .failed(let status): "curl's status \(status)"
            }
        }

        var answer: MetadataResponse? {
            if case .answered(let answer) = self { answer } else { nil }
        }
    }

    /// The shortest patience of a Google client.
    static let patience = 3
    /// For what the agent does by itself: its own looks are two seconds apart.
    static let deadline = Duration.seconds(60)

    let name: String
    let world: LabWorld
    private let currentAgent: Mutex<AgentProcess>
    /// Counters before the fault; empty if no agent could be asked.
    private let before: [String: UInt64]
    private let firstLine: Int

    init(_ name: String, _ world: LabWorld, _ launch: Fault.Launch) async throws {
        self.name = name
        self.world = world
        world.addServiceAccount("app")
        let agent = try world.launchAgent(launch.changes, prefix: launch.prefix)
        currentAgent = Mutex(agent)
        try await agent.waitUntilReady()
        before = (try? await agent.counters()) ?? [:]
        firstLine = agent.log.total
    }

    // MARK: Pods

    /// A pod that has no token yet.
    func newPod(_ name: String, labels: [String: String] = [:]) async throws -> RunningPod {
        try await world.addPod(name, serviceAccount: "app", isHostNetwork: true, labels: labels)
    }

    /// A pod that has its token already.
    func servedPod(_ name: String) async throws -> RunningPod {
        let pod = try await newPod(name)
        let first = try await ask(pod, within: Self.deadline) { $0.answer?.status == 200 }
        #expect(first.outcome.answer?.status == 200, "\(self.name): \(first.outcome.text)")
        return pod
    }

    /// Asks once. Whatever it gets, it is not another pod's.
    func ask(_ pod: RunningPod, patience: Int = patience) async throws -> (outcome: Outcome, after: Duration) {
        let start = ContinuousClock.now
        let result = try await begin(pod, patience: patience).result()
        let elapsed = ContinuousClock.now - start
        guard result.succeeded else { return (.failed(result.status), elapsed) }
        return (.answered(try judged(MetadataResponse(curl: result.output), pod)), elapsed)
    }

    /// Asks again and again until the outcome is as wanted.
    func ask(
        _ pod: RunningPod, within limit: Duration, until isWanted: (Outcome) -> Bool
    ) async throws -> (outcome: Outcome, after: Duration) {
        let start = ContinuousClock.now
        while true {
            let outcome = try await ask(pod).outcome
            let elapsed = ContinuousClock.now - start
            if isWanted(outcome) { return (outcome, elapsed) }
            guard elapsed < limit else { throw LabError("after \(elapsed.text) still \(outcome.text)") }
        }
    }

    /// Starts to ask.
    func begin(_ pod: RunningPod, patience: Int) throws -> Command {
        try pod.start(RunningPod.askCommand(tokenPath, ["--max-time", "\(patience)"]))
    }

    /// Asks until there is a token, and returns how long that took.
    func recovery(_ pod: RunningPod) async throws -> Duration {
        try await ask(pod, within: Self.deadline) { $0.answer?.status == 200 }.after
    }

    /// Expects that a token is the pod's own, and nothing in it when there is none.
    func judged(_ answer: MetadataResponse, _ pod: RunningPod) throws -> MetadataResponse {
        if answer.status == 200 {
            #expect(try world.owner(of: answer).subject.podUID == pod.uid, "\(name): somebody else's token")
        } else {
            #expect(!answer.body.contains("ya29."), "\(name): a token in a refusal")
        }
        return answer
    }

    // MARK: The agent

    var agent: AgentProcess { currentAgent.withLock { $0 } }

    /// Starts another agent in the place of one that has ended.
    func startNextAgent() async throws {
        let next = try await world.startAgent()
        currentAgent.withLock { $0 = next }
    }

    /// The first line of the log since the agent was ready that holds these words, without time and level.
    func logged(_ words: String) async throws -> String {
        let skipped = firstLine
        do {
            let lines = try await agent.log.wait(within: Self.deadline) {
                $0.dropFirst(skipped).contains { $0.contains(words) }
            }
            let line = lines.dropFirst(skipped).first { $0.contains(words) } ?? ""
            // 2026-11-21T15:00:00+0000 warning podidentd: [Agent] words
            return line.firstRange(of: "] ").map { String(line[$0.upperBound...]) } ?? line
        } catch is DeadlineExceeded {
            throw LabError("no '\(words)' in the log: \(agent.log.events.suffix(20).joined(separator: "\n"))")
        }
    }

    /// Waits until one of these counters has risen, and says by how much.
    func risen(_ names: String...) async throws -> String {
        let deadline = ContinuousClock.now + Self.deadline
        while true {
            let counters = try await agent.counters()
            if let name = names.first(where: { counters[$0, default: 0] > before[$0, default: 0] }) {
                return "\(name) +\(counters[name, default: 0] - before[name, default: 0])"
            }
            guard ContinuousClock.now < deadline else { throw LabError("none of \(names) has risen: \(counters)") }
        }
    }

    /// By how much a counter has risen until now.
    func rise(of name: String) async throws -> UInt64 {
        try await agent.counters()[name, default: 0] - before[name, default: 0]
    }

    /// Checks what holds after every fault: the same process serves a new pod, and no pod has met the machine's own server.
    func expectNoHarm() async throws {
        #expect(agent.isRunning, "\(name): the agent has ended")
        let last = try await newPod("last")
        _ = try await recovery(last)
        #expect(world.cluster.trap?.connections == 0, "\(name): the machine's own metadata server was reached")
        #expect(!agent.log.events.contains { $0.contains("Fatal error") }, "\(name)")
    }
}

extension AgentProcess {
    /// Every counter of the agent by one name.
    func counters() async throws -> [String: UInt64] {
        let status = try await status()
        return [
            "kernel": status.kernel, "requests": status.requests, "incidents": status.incidents,
        ].reduce(into: [:]) { all, section in
            for (name, value) in section.value { all["\(section.key).\(name)"] = value }
        }
    }
}
