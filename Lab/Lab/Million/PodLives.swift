import Synchronization

/// Shares a number of requests out to pods that follow each other at so many places.
final class PodLives: Sendable {
    private let left: Mutex<Int>

    init(_ total: Int) { left = Mutex(total) }

    /// Takes up to `count` of what is left.
    private func take(_ count: Int) -> Int {
        left.withLock { left in
            let taken = min(left, count)
            left -= taken
            return taken
        }
    }

    /// Runs `live` again and again at each place, until all is shared out.
    ///
    /// - Parameters:
    ///   - slots: Places, at each of which one pod lives at a time.
    ///   - perLife: Requests of one life, but for the last.
    ///   - live: Lives one life: the place, the number of lives before it there, and its requests.
    /// - Throws: The first error of a life.
    func run(
        slots: Int, perLife: Int,
        _ live: @escaping @Sendable (_ slot: Int, _ life: Int, _ count: Int) async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for slot in 0..<slots {
                group.addTask { [self] in
                    var life = 0
                    while true {
                        let count = take(perLife)
                        guard count > 0 else { return }
                        try await live(slot, life, count)
                        life += 1
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}
