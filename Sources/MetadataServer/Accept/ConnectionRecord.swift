package import Attribution
import NIOCore
import Synchronization

/// The state of one open connection, written by its event loop and read by the debug dump.
final class ConnectionRecord: Sendable {
    let owner: PodUID?
    let openedAt = ContinuousClock.now
    let destination: OriginalDestination
    let cgroupID: CgroupID
    private let answered = Atomic<UInt64>(0)
    private let state = Atomic<UInt8>(ConnectionSnapshot.State.reading.rawValue)
    /// The loop's time, in nanoseconds, at which `state` began.
    private let stateBegan = Atomic<UInt64>(NIODeadline.now().uptimeNanoseconds)

    init(owner: PodUID?, tag: CallerTag) {
        self.owner = owner
        destination = tag.originalDestination
        cgroupID = tag.leaf
    }

    func countAnswer() {
        answered.wrappingAdd(1, ordering: .relaxed)
    }

    func enter(_ state: ConnectionSnapshot.State, at now: NIODeadline) {
        stateBegan.store(now.uptimeNanoseconds, ordering: .relaxed)
        self.state.store(state.rawValue, ordering: .releasing)
    }

    /// The time at which the connection became idle; `nil` if a request is being read or answered.
    var idleSince: NIODeadline? {
        guard state.load(ordering: .acquiring) == ConnectionSnapshot.State.idle.rawValue else { return nil }
        return .uptimeNanoseconds(stateBegan.load(ordering: .relaxed))
    }

    func snapshot(at now: ContinuousClock.Instant) -> ConnectionSnapshot {
        ConnectionSnapshot(
            pod: owner, state: ConnectionSnapshot.State(rawValue: state.load(ordering: .relaxed)) ?? .reading,
            age: now - openedAt, requests: answered.load(ordering: .relaxed), destination: destination,
            cgroupID: cgroupID)
    }
}

/// One open connection for the debug dump.
package struct ConnectionSnapshot: Sendable, Equatable {
    package enum State: UInt8, Sendable {
        /// A request is being read, or the first has not begun.
        case reading
        /// The connection is between two requests.
        case idle
        case answering
        /// The last answer is written.
        case closing
    }

    /// `nil`: the connection has no identity.
    package var pod: PodUID?
    package var state: State
    package var age: Duration
    /// Answers given.
    package var requests: UInt64
    package var destination: OriginalDestination
    /// The cgroup that the connecting task was in.
    package var cgroupID: CgroupID
}

extension ConnectionState.Phase {
    var snapshotState: ConnectionSnapshot.State {
        switch self {
        case .request: .reading
        case .idle: .idle
        case .answer: .answering
        }
    }
}
