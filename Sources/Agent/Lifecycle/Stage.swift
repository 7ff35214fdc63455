import EventLoops
import NIOPosix
import ServiceLifecycle
import Synchronization

/// One entry of the agent's order: what it runs while the agent serves, and how it ends.
struct Stage: Sendable {
    let service: any Service
    /// Ends it after a start that failed. A part that was not started yet does nothing.
    let abandon: @Sendable () async -> Void

    /// The service for its group: a part that fails ends the others as a signal does, each in its turn.
    ///
    /// Otherwise all would end at once, and one could use, or start again, what another has just closed.
    var configuration: ServiceGroupConfiguration.ServiceConfiguration {
        .init(service: service, failureTerminationBehavior: .gracefullyShutdownGroup)
    }

    /// Runs until the agent stops. Nothing of it outlives its task.
    static func runs(_ body: @escaping @Sendable () async -> Void) -> Stage {
        Stage(service: RunningService(body: body), abandon: {})
    }

    /// Works by itself, and is closed in the same way when the agent stops and when its start fails.
    static func closes(_ close: @escaping @Sendable () async -> Void) -> Stage {
        Stage(service: ClosingService(close: close), abandon: close)
    }

    /// The same for a close that may block its thread: it has one that may be blocked. After `limit` the next part ends, and the close
    /// goes on by itself.
    static func closesOnThread(
        within limit: Duration = .seconds(1), _ close: @escaping @Sendable () -> Void
    ) -> Stage {
        .closes {
            await runClosing(within: limit) { try? await NIOThreadPool.singleton.runIfActive { close() } }
        }
    }
}

/// A part that exists once the start has come that far.
final class Slot<Part: Sendable>: Sendable {
    private let part = Mutex<Part?>(nil)

    var current: Part? { part.withLock { $0 } }

    func set(_ new: Part) { part.withLock { $0 = new } }
}
