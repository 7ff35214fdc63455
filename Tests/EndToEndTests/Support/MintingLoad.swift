import AgentTesting
import Lab
import Synchronization

/// Pods that come, ask once and go, several at a time: each makes the agent ask the API server for a token.
final class MintingLoad: Sendable {
    static let workers = 4

    /// Every answer, in the order of their ends.
    let answers = EventLog<MetadataResponse>(capacity: 100_000)
    private let world: LabWorld
    private let storage = Mutex((answered: [Int](repeating: 0, count: MintingLoad.workers), isOver: false))

    /// Pods run as the ServiceAccount `app`, which must exist.
    init(_ world: LabWorld) {
        self.world = world
    }

    /// Runs until it is stopped, or until a pod gets no answer at all.
    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<Self.workers { group.addTask { try await self.work(worker) } }
            try await group.waitForAll()
        }
    }

    func stop() { storage.withLock { $0.isOver = true } }

    /// Waits until each worker has had the answers of so many pods that it had not begun to ask for, or more.
    func rounds(_ count: Int) async throws {
        // The pod in hand may have asked already.
        let goal = storage.withLock { $0.answered.map { $0 + count + 1 } }
        try await answers.wait(within: .seconds(60)) { _ in
            let answered = self.storage.withLock { $0.answered }
            return zip(answered, goal).allSatisfy { $0 >= $1 }
        }
    }

    private func work(_ worker: Int) async throws {
        var number = 0
        while !storage.withLock({ $0.isOver }) {
            number += 1
            let pod = try await world.addPod("load-\(worker)-\(number)", serviceAccount: "app", isHostNetwork: true)
            let answer = try await pod.ask()
            storage.withLock { $0.answered[worker] += 1 }
            answers.record(answer)
            await world.deletePod(pod)
        }
    }
}
