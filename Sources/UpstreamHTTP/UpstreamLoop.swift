package import EventLoops
import NIOPosix

extension EventLoopExecutor {
    /// The loop on which all connections to upstreams live, and for the tasks that use them: the last, since the first
    /// serves the pods' kept connections.
    package static let upstreams = EventLoopExecutor(
        MultiThreadedEventLoopGroup.singleton.makeIterator().reversed().first
            ?? MultiThreadedEventLoopGroup.singleton.next())
}
