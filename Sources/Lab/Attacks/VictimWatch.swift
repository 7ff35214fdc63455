import Foundation
import Synchronization

/// A pod that asks for its token all the time, while others misbehave.
final class VictimWatch: Sendable {
    /// What the victim noticed since it was last asked.
    struct Notice: Sendable {
        var answered = 0
        var failed = 0
        var wrong = 0
        var slowest = Duration.zero
    }

    private let world: LabWorld
    private let pod: RunningPod
    private let notice = Mutex(Notice())

    init(world: LabWorld, pod: RunningPod) {
        self.world = world
        self.pod = pod
    }

    /// Asks until it is cancelled.
    func run() async {
        while !Task.isCancelled {
            await ask()
        }
    }

    func ask() async {
        let start = ContinuousClock.now
        let output = try? await world.probe(pod, [AttackSuite.tokenPath]).result().output
        let took = ContinuousClock.now - start
        let owner = output.flatMap { AttackSuite.owner(ofTokenIn: $0, world: world) }
        notice.withLock { notice in
            notice.slowest = max(notice.slowest, took)
            switch owner {
            case nil: notice.failed += 1
            case pod.uid: notice.answered += 1
            default: notice.wrong += 1
            }
        }
    }

    /// What happened since the last call, with at least one answer in it.
    func take() async -> Notice {
        await ask()
        return notice.withLock { notice in
            defer { notice = Notice() }
            return notice
        }
    }
}
