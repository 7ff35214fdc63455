import EventLoops
import NIOCore
import Synchronization

/// An event loop that serves connections, and how many it has.
final class ServingLoop: Sendable {
    /// The parts that the connections of one event loop share.
    struct State {
        let date = DateHeader()
        let leased: ResponseCache
        let executor: EventLoopExecutor

        init(loop: any EventLoop) {
            leased = ResponseCache(loop: loop)
            executor = EventLoopExecutor(loop)
        }
    }

    let loop: any EventLoop
    let state: NIOLoopBoundBox<State>
    /// Includes those that are on their way to the loop.
    private let connections = Atomic<Int>(0)

    init(_ loop: any EventLoop) {
        self.loop = loop
        self.state = .makeBoxSendingValue(State(loop: loop), eventLoop: loop)
    }

    /// The loop with fewest connections; of several such the one at `index`, if it is one of them.
    ///
    /// The kernel wakes one thread for a burst of connections. Were all of them served by one loop, they would wait for each
    /// other while another processor is idle.
    static func leastBusy(of loops: [ServingLoop], preferring index: Int) -> ServingLoop {
        loops.reduce(loops[index]) { least, other in
            other.connectionCount < least.connectionCount ? other : least
        }
    }

    var connectionCount: Int { connections.load(ordering: .relaxed) }

    /// Counts a connection that this loop is about to serve.
    func enter() {
        connections.wrappingAdd(1, ordering: .relaxed)
    }

    /// Counts the end of a connection.
    func leave() {
        connections.wrappingSubtract(1, ordering: .relaxed)
    }
}
