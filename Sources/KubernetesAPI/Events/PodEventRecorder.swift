import Attribution
package import Logging
import Synchronization
package import Tokens

/// Writes warnings as Kubernetes Events, in the background and never in anybody's way.
package final class PodEventRecorder: Sendable {
    /// Counts of the warnings' outcomes so far. Numbers only grow.
    package struct Counters: Sendable, Hashable {
        package var sent: UInt64 = 0
        package var failed: UInt64 = 0
        /// The same again within ten minutes: counted, and told with the next.
        package var suppressed: UInt64 = 0
        /// Warnings over the node's limit, or for which the queue was full.
        package var dropped: UInt64 = 0

        package init() {}
    }

    private struct Storage {
        var ledger = EventLedger()
        var counters = Counters()
    }

    private struct Job: Sendable {
        var warning: PodWarning
        var key: EventLedger.Key
        var update: (name: String, count: Int)?
    }

    /// Requests that may wait.
    private static let queueLimit = 64

    private let client: KubernetesClient
    private let nodeName: String
    private let clock: any TokenClock
    private let logger: Logger
    private let storage = Mutex(Storage())
    private let jobs: AsyncStream<Job>
    private let queue: AsyncStream<Job>.Continuation

    package init(
        client: KubernetesClient, nodeName: String, clock: any TokenClock = SystemTokenClock(), logger: Logger
    ) {
        self.client = client
        self.nodeName = nodeName
        self.clock = clock
        self.logger = logger
        (jobs, queue) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.queueLimit))
    }

    package var counters: Counters { storage.withLock { $0.counters } }

    /// The Events that are remembered, and the most that there can be.
    package var remembered: Int { storage.withLock { $0.ledger.series.count } }
    package static let rememberedLimit = EventLedger.limit

    /// Notes a warning and returns at once.
    package func record(_ warning: PodWarning) {
        let key = EventLedger.Key(pod: warning.pod.uid, reason: warning.reason)
        let job: Job? = storage.withLock { storage in
            switch storage.ledger.note(key, now: clock.now) {
            case .create: return Job(warning: warning, key: key)
            case .update(let name, let count): return Job(warning: warning, key: key, update: (name, count))
            case .suppress:
                storage.counters.suppressed += 1
                return nil
            case .drop:
                storage.counters.dropped += 1
                return nil
            }
        }
        guard let job, case .dropped = queue.yield(job) else { return }
        storage.withLock { storage in
            storage.ledger.forget(key)
            storage.counters.dropped += 1
        }
    }

    /// Sends, one request at a time, until its task is cancelled.
    package func run() async {
        for await job in jobs {
            do throws(UpstreamFailure) {
                if let update = job.update {
                    try await client.updateEvent(update.name, job.warning, count: update.count)
                } else {
                    let name = try await client.createEvent(job.warning, nodeName: nodeName)
                    storage.withLock { $0.ledger.created(job.key, name: name) }
                }
                storage.withLock { $0.counters.sent += 1 }
            } catch {
                storage.withLock { storage in
                    storage.ledger.forget(job.key)
                    storage.counters.failed += 1
                }
                logger.debug(
                    "an Event was not taken",
                    metadata: ["reason": "\(job.warning.reason.rawValue)", "error": "\(error.message)"]
                )
            }
        }
    }
}
