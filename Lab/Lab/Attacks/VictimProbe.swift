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
        /// In microseconds, ascending; of the answered requests.
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

    /// Starts asking. The process ends with its pod.
    init(world: LabWorld, pod: RunningPod) throws {
        self.world = world
        self.pod = pod
        command = try world.probe(pod, ["--stream", AttackSuite.tokenPath])
    }

    /// Stops the asking process for the time of `body`, in which no pod of a real node would run.
    func whilePaused<Result>(_ body: () async throws -> Result) async rethrows -> Result {
        command.signal(SIGSTOP)
        defer { command.signal(SIGCONT) }
        return try await body()
    }

    /// The findings since the last call, which includes at least `count` requests that began after this one.
    func take(atLeast count: Int) async throws -> Notice {
        let last = command.errorLines.events.last.flatMap(ProbeStream.Sample.init)?.number ?? -1
        // The one under way began before. Each gives up after 10 s where packets are dropped.
        try await command.errorLines.wait(within: .seconds(60)) { lines in
            lines.last.flatMap(ProbeStream.Sample.init).map { $0.number > last + count } ?? false
        }
        let samples = command.errorLines.events.compactMap(ProbeStream.Sample.init)
        let first = next.withLock { next in
            defer { next = (samples.last?.number ?? -1) + 1 }
            return next
        }
        guard let oldest = samples.first?.number, oldest <= first else {
            throw LabError("the victim asked more often than anybody has looked")
        }
        return notice(of: samples.drop { $0.number < first })
    }

    private func notice(of samples: ArraySlice<ProbeStream.Sample>) -> Notice {
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
