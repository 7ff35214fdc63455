import Foundation
import Synchronization

/// A pod that asks for its token all the time, by one process, while others misbehave.
final class VictimProbe: Sendable {
    /// The victim's findings over a while.
    struct Notice: Sendable {
        var answered = 0
        var failed = 0
        var wrong = 0
        var firstFailure: String?
        /// The latencies in microseconds, ascending; of the answered requests.
        var latencies: [Int] = []

        /// Milliseconds within which 99 of 100 answers came.
        var p99: Double {
            latencies.isEmpty ? 0 : Double(latencies[min(latencies.count - 1, latencies.count * 99 / 100)]) / 1000
        }
        var slowest: Double { Double(latencies.last ?? 0) / 1000 }
    }

    private let world: LabWorld
    private let pod: RunningPod
    private let command: Command
    /// The number of the first request that has not been reported yet.
    private let next = Mutex(0)

    /// The file that has the asking process give up soon.
    private let hurryFile: String

    /// Starts asking. The process ends with its pod.
    init(world: LabWorld, pod: RunningPod) throws {
        self.world = world
        self.pod = pod
        hurryFile = world.node.directory + "/hurry"
        command = try world.probe(pod, ["--stream", "--hurry", hurryFile, AttackSuite.tokenPath])
    }

    /// Decides whether requests give up after a second, and not ten. Where packets are dropped because the agent is
    /// away, an attack is over no sooner than the victim's patience.
    func hurry(_ isHurried: Bool) {
        if isHurried {
            _ = FileManager.default.createFile(atPath: hurryFile, contents: nil)
        } else {
            try? FileManager.default.removeItem(atPath: hurryFile)
        }
    }

    /// Stops the asking process for the time of `body`, in which no pod of a real node would run.
    func whilePaused<Result>(_ body: () async throws -> Result) async rethrows -> Result {
        command.signal(SIGSTOP)
        defer { command.signal(SIGCONT) }
        return try await body()
    }

    /// The number of requests after an attack that show that the victim is well again.
    private static let mostAfterwards = 50

    /// The findings since the last call, of `count` requests or more. As many of them, or fifty if that is less, began after
    /// this call.
    func take(atLeast count: Int) async throws -> Notice {
        let lines = command.errorLines
        let first = next.withLock { $0 }
        // The one under way began before. Where packets are dropped each ends with the victim's patience.
        let afterwards = lines.total + min(count, Self.mostAfterwards) + 1
        // A line for each request, whose numbers begin with 0.
        try await lines.wait(within: .seconds(60), forTotal: max(afterwards, first + count))
        // From the newest back to the last look. There may be tens of thousands of lines before that.
        var samples: [ProbeStream.Sample] = []
        for line in lines.events.reversed() {
            guard let sample = ProbeStream.Sample(line) else { continue }
            guard sample.number >= first else { break }
            samples.append(sample)
        }
        guard let newest = samples.first, samples.last?.number == first else {
            throw LabError("the victim asked more often than anybody has looked")
        }
        next.withLock { $0 = newest.number + 1 }
        return notice(of: samples.reversed())
    }

    private func notice(of samples: some Sequence<ProbeStream.Sample>) -> Notice {
        var notice = Notice()
        for sample in samples {
            switch sample.token.map({ world.cluster.ledger.describe($0)?.subject.podUID }) {
            case nil:
                notice.failed += 1
                notice.firstFailure = notice.firstFailure ?? sample.outcome
            case pod.uid:
                notice.answered += 1
                notice.latencies.append(sample.microseconds)
            default:
                notice.wrong += 1
            }
        }
        notice.latencies.sort()
        return notice
    }
}
