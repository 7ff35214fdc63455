import Attribution
import Dispatch
import Synchronization

/// Tells pods in which no process is left from those that are between two processes.
///
/// A pod whose only container starts again is empty for some milliseconds. To close its listeners then would be to open them
/// at once again, while the next process connects.
final class EmptyPods: Sendable {
    private static let momentMilliseconds = 200

    /// How often each pod was emptied within the last moment.
    private let turns = Mutex<[CgroupID: Int]>([:])

    /// Calls `body` when a moment has passed since the pod was emptied, unless it is emptied once more meanwhile: then it has
    /// had a process.
    func afterMoment(of pod: CgroupID, _ body: @escaping @Sendable () -> Void) {
        let turn = turns.withLock { turns in
            turns[pod, default: 0] += 1
            return turns[pod]
        }
        DispatchQueue.global(qos: .utility).asyncAfter(deadline: .now() + .milliseconds(Self.momentMilliseconds)) {
            let isLast = self.turns.withLock { turns in
                guard turns[pod] == turn else { return false }
                turns[pod] = nil
                return true
            }
            if isLast { body() }
        }
    }
}
