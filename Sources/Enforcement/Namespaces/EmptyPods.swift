import Attribution
import Dispatch
import Synchronization

/// Tells pods in which no process is left from those that are between two processes.
///
/// A pod whose only container starts again is empty for some milliseconds. To close its listeners then would be to open them
/// at once again, while the next process connects.
final class EmptyPods: Sendable {
    private static let momentMilliseconds = 200

    /// Has something done a moment later.
    typealias Schedule = @Sendable (@escaping @Sendable () -> Void) -> Void

    private let schedule: Schedule
    /// How often each pod was emptied within the last moment.
    private let turns = Mutex<[CgroupID: Int]>([:])

    /// `schedule` is for tests.
    init(schedule: @escaping Schedule = { EmptyPods.later($0) }) {
        self.schedule = schedule
    }

    /// Calls `body` when a moment has passed since the pod was emptied, unless it is emptied once more meanwhile: then it has
    /// had a process.
    func afterMoment(of pod: CgroupID, _ body: @escaping @Sendable () -> Void) {
        let turn = turns.withLock { turns in
            turns[pod, default: 0] += 1
            return turns[pod]
        }
        schedule {
            let isLast = self.turns.withLock { turns in
                guard turns[pod] == turn else { return false }
                turns[pod] = nil
                return true
            }
            if isLast { body() }
        }
    }

    static func later(_ body: @escaping @Sendable () -> Void) {
        DispatchQueue.global(qos: .utility).asyncAfter(deadline: .now() + .milliseconds(momentMilliseconds)) { body() }
    }
}
