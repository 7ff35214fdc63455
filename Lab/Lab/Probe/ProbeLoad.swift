import Foundation
package import NIOCore
import Synchronization

/// Many exchanges from several threads, each on a connection of its own, counted by how they ended.
package struct ProbeLoad: Sendable {
    package struct Report: Codable, Sendable, Equatable {
        /// 200 with the expected body.
        package var correct = 0
        /// 200 with another body: another pod's identity.
        package var wrong = 0
        package var refused = 0
        package var reset = 0
        /// Answers by status other than 200.
        package var statuses: [Int: Int] = [:]
        /// Failures by error number.
        package var failures: [Int32: Int] = [:]
        /// The first body that was wrong.
        package var firstWrong: String?

        package var total: Int {
            correct + wrong + refused + reset + statuses.values.reduce(0, +) + failures.values.reduce(0, +)
        }
    }

    package var path: String
    package var address: SocketAddress
    package var threads: Int
    /// Ends after this many exchanges, unless ``stop()`` ends it before.
    package var exchanges: Int
    /// Ends after this long in any case.
    package var duration: Duration
    /// The text that a right answer's body must contain.
    package var expected: String
    /// How many of the threads keep their connection for as long as the server lets them.
    package var keptConnections: Int
    /// How long a thread rests between two exchanges.
    package var pause: Duration
    private let isStopped = Stop()

    /// Set once, from any thread.
    private final class Stop: Sendable {
        let isSet = Mutex(false)
    }

    package init(
        path: String, address: SocketAddress, threads: Int = 4, exchanges: Int, duration: Duration = .seconds(60),
        expected: String, keptConnections: Int = 0, pause: Duration = .zero
    ) {
        self.keptConnections = keptConnections
        self.pause = pause
        self.path = path
        self.address = address
        self.threads = threads
        self.exchanges = exchanges
        self.duration = duration
        self.expected = expected
    }

    /// Has each thread end with the exchange that it has begun.
    package func stop() {
        isStopped.isSet.withLock { $0 = true }
    }

    /// Runs the load to its end, blocking the calling thread.
    package func run() -> Report {
        let worker = Worker(load: self)
        let group = DispatchGroup()
        for number in 0..<threads {
            group.enter()
            Thread {
                worker.run(keepsConnection: number < keptConnections)
                group.leave()
            }.start()
        }
        group.wait()
        return worker.report
    }

    /// The state that the threads share.
    private final class Worker: Sendable {
        private struct State {
            var report = Report()
            var started = 0
        }

        private let load: ProbeLoad
        private let deadline: ContinuousClock.Instant
        private let state = Mutex(State())

        var report: Report { state.withLock { $0.report } }

        init(load: ProbeLoad) {
            self.load = load
            self.deadline = .now + load.duration
        }

        func run(keepsConnection: Bool) {
            let kept = keepsConnection ? KeptProbeConnection(to: load.address) : nil
            while ContinuousClock.now < deadline, !load.isStopped.isSet.withLock({ $0 }) {
                let goesOn = state.withLock { state in
                    state.started += 1
                    return state.started <= load.exchanges
                }
                guard goesOn else { return }
                let outcome = kept?.get(load.path) ?? ProbeConnection.get(load.path, from: load.address)
                state.withLock { $0.report.count(outcome, expected: load.expected) }
                if load.pause > .zero { Thread.sleep(forTimeInterval: load.pause / .seconds(1)) }
            }
        }
    }
}

extension ProbeLoad.Report {
    mutating func count(_ outcome: ProbeOutcome, expected: String) {
        switch outcome {
        case .answered(200, _, let body, _) where body.contains(expected):
            correct += 1
        case .answered(200, _, let body, _):
            wrong += 1
            firstWrong = firstWrong ?? String(body.prefix(200))
        case .answered(let status, _, _, _):
            statuses[status, default: 0] += 1
        case .refused:
            refused += 1
        case .reset:
            reset += 1
        case .failed(let number):
            failures[number, default: 0] += 1
        }
    }
}
