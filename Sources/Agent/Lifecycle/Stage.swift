import ServiceLifecycle
import Synchronization

/// One entry of the agent's order: what it runs while the agent serves, and how it ends.
struct Stage: Sendable {
    let service: any Service
    /// Ends it after a start that failed. A part that was not started yet does nothing.
    let abandon: @Sendable () async -> Void

    /// Runs until the agent stops. Nothing of it outlives its task.
    static func runs(_ body: @escaping @Sendable () async -> Void) -> Stage {
        Stage(service: RunningService(body: body), abandon: {})
    }

    /// Works by itself, and is closed in the same way when the agent stops and when its start fails.
    static func closes(_ close: @escaping @Sendable () async -> Void) -> Stage {
        Stage(service: ClosingService(close: close), abandon: close)
    }
}

/// A part that exists once the start has come that far.
final class Slot<Part: Sendable>: Sendable {
    private let part = Mutex<Part?>(nil)

    var current: Part? { part.withLock { $0 } }

    func set(_ new: Part) { part.withLock { $0 = new } }
}
