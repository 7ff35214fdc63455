import Synchronization
import Testing

@testable import Attribution

@Suite(.timeLimit(.minutes(10))) struct RecordWaitersTests {
    private final class Waiters: Sendable {
        let storage = Mutex(RecordWaiters(limit: 100))
    }

    @Test func `requests whose records arrive together go on in the order in which they came`() async throws {
        let waiters = Waiters()
        let pods = try (0..<50).map { number in
            let uid = try #require(PodUID("00000000-0000-0000-0000-\(100_000_000_000 + number)"))
            return PodRecord(uid: uid, namespace: "ns", name: "\(number)", serviceAccountName: "default")
        }
        await withTaskGroup(of: Void.self) { group in
            for pod in pods {
                let ticket = waiters.storage.withLock { $0.makeTicket() }
                let (enlisted, enlist) = AsyncStream.makeStream(of: Void.self)
                group.addTask {
                    _ = await withCheckedContinuation { continuation in
                        #expect(waiters.storage.withLock { $0.enlist(continuation, as: ticket, for: pod.uid) })
                        enlist.yield()
                    }
                }
                for await _ in enlisted { break }
            }
            let dismissed = waiters.storage.withLock { waiters in
                waiters.dismissAll { uid in pods.first { $0.uid == uid } }
            }
            #expect(dismissed.map(\.1) == pods)
            for (continuation, record) in dismissed { continuation.resume(returning: record) }
        }
    }
}
