import Synchronization

/// This node's pods, as the pod watch tells, found by the UID that their cgroups' names carry.
///
/// A request may come before the watch shows its pod. It can wait for the record: every wait is announced on
/// ``lookupMisses``, which the watch answers with a list, and ends with the record or at its deadline.
package final class PodDirectory: Sendable {
    /// One element for each wait that begins; waits that begin before the last was taken share one. For one consumer.
    package let lookupMisses: AsyncStream<Void>

    private struct Storage {
        var pods = PodTable()
        var waiters: RecordWaiters
    }

    private let storage: Mutex<Storage>
    private let clock: any Clock<Duration>
    private let missSignal: AsyncStream<Void>.Continuation
    private let onDeparture: @Sendable (PodUID) -> Void

    /// - Parameters:
    ///   - waiterLimit: The greatest number of requests that wait at the same time; more are not held.
    ///   - clock: Measures the waits.
    ///   - onDeparture: Told the `metadata.uid` of every pod that is deleted or vanishes in a list, once each and in
    ///     order, after the directory has forgotten it. A pod whose UID another pod has now counts as deleted. Called by
    ///     `apply`, outside the lock.
    package init(
        waiterLimit: Int = 4096,
        clock: any Clock<Duration> = ContinuousClock(),
        onDeparture: @escaping @Sendable (PodUID) -> Void = { _ in }
    ) {
        self.storage = Mutex(Storage(waiters: RecordWaiters(limit: waiterLimit)))
        self.clock = clock
        self.onDeparture = onDeparture
        (self.lookupMisses, self.missSignal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Applies one change. Changes are the watch's alone to apply, one after the other.
    ///
    /// - Returns: Whether it was applied: an earlier state of a pod that was deleted is not.
    @discardableResult
    package func apply(_ event: PodEvent) -> Bool {
        // No request finds a UID's second pod before everything that is held for the first has been dropped.
        for uid in self.storage.withLock({ $0.pods.removeFormer(before: event) }) { self.onDeparture(uid) }
        let (change, arrivals) = self.storage.withLock { storage in
            let change = storage.pods.apply(event)
            return (change, storage.waiters.dismissAll { storage.pods.record(for: $0) })
        }
        guard case .applied(let departures) = change else { return false }
        for (waiter, record) in arrivals { waiter.resume(returning: record) }
        for uid in departures { self.onDeparture(uid) }
        return true
    }

    /// The pod whose cgroups carry `uid`: for a static pod, its mirror. Pods that have finished stay known until they
    /// are deleted.
    package func record(for uid: PodUID) -> PodRecord? {
        self.storage.withLock { $0.pods.record(for: uid) }
    }

    /// The same, and whether an unknown pod is one that was deleted.
    package func standing(of uid: PodUID) -> PodStanding {
        self.storage.withLock { $0.pods.standing(of: uid) }
    }

    /// Every pod, ordered by namespace and name.
    package func snapshot() -> [PodRecord] {
        self.storage.withLock { $0.pods }.sorted()
    }

    /// The number of pods, mirror pods included.
    package var count: Int {
        self.storage.withLock { $0.pods.count }
    }

    /// The number of deleted pods that are remembered.
    package var departedCount: Int {
        self.storage.withLock { $0.pods.departedCount }
    }

    /// The most of them.
    package static let departedLimit = PodTable.rememberedTerminations
}

// MARK: - Waiting

extension PodDirectory {
    /// The record of the pod whose cgroups carry `uid`, now or as soon as the watch shows it.
    ///
    /// - Returns: `nil` when `limit` has passed, when the task is cancelled, or at once when too many are waiting. A
    ///   list that does not name the pod does not end the wait: the watch may still bring it.
    package func waitForRecord(of uid: PodUID, atMost limit: Duration) async -> PodRecord? {
        if let record = self.record(for: uid) { return record }
        guard limit > .zero else { return nil }
        return await withTaskGroup(of: PodRecord?.self) { group in
            group.addTask { await self.arrival(of: uid) }
            group.addTask { [clock] in
                try? await clock.sleep(for: limit)
                return nil
            }
            let record = await group.next() ?? nil
            group.cancelAll()
            return record
        }
    }

    private enum Enlistment {
        case waiting
        case settled(PodRecord?)
    }

    /// The record when it arrives; `nil` when the task is cancelled, or at once when too many are waiting.
    private func arrival(of uid: PodUID) async -> PodRecord? {
        let ticket = self.storage.withLock { $0.waiters.makeTicket() }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let enlistment = self.storage.withLock { storage -> Enlistment in
                    // A cancellation before this point found no waiter to dismiss, but shows here; one after it will.
                    if Task.isCancelled { return .settled(nil) }
                    if let record = storage.pods.record(for: uid) { return .settled(record) }
                    return storage.waiters.enlist(continuation, as: ticket, for: uid) ? .waiting : .settled(nil)
                }
                switch enlistment {
                case .waiting: self.missSignal.yield()
                case .settled(let record): continuation.resume(returning: record)
                }
            }
        } onCancel: {
            self.storage.withLock { $0.waiters.dismiss(ticket, for: uid) }?.resume(returning: nil)
        }
    }
}
