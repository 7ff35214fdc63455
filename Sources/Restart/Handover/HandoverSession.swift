/// The predecessor's side of one hand-over as a value: what arrives, and what is to be done about it.
struct HandoverSession: Sendable, Equatable {
    enum Action: Sendable, Equatable {
        case none
        /// Send the offer with the listening sockets.
        case offer
        /// Stop accepting and free the lock, then call ``yielded()``.
        case yield
        case sayYours
        /// The successor accepts: end.
        case finish
        /// Take the lock and the hooks back, and accept again: the successor has failed.
        case resume
        /// Send what this agent holds, and end the connection.
        case sendCredentials
        case close
    }

    private enum State: Equatable {
        case awaitingHello
        case offered
        case yielding
        case yielded
        case ended
    }

    private var state = State.awaitingHello

    mutating func received(_ kind: HandoverMessage.Kind) -> Action {
        switch (state, kind) {
        case (.awaitingHello, .hello):
            state = .offered
            return .offer
        case (.awaitingHello, .credentials):
            state = .ended
            return .sendCredentials
        case (.offered, .take):
            state = .yielding
            return .yield
        case (.yielded, .serving):
            state = .ended
            return .finish
        case (.ended, _):
            return .none
        default:
            // Out of order. The end of the connection sets everything right.
            return .close
        }
    }

    /// The step that `yield` asked for is done.
    mutating func yielded() -> Action {
        switch state {
        case .yielding:
            state = .yielded
            return .sayYours
        case .ended:
            // The successor has gone meanwhile.
            return .resume
        case .awaitingHello, .offered, .yielded:
            return .none
        }
    }

    /// The agent does not offer anything to this peer.
    mutating func refused() {
        state = .ended
    }

    /// The connection has ended, or its time is over.
    mutating func connectionEnded() -> Action {
        defer { state = .ended }
        return switch state {
        // A successor attaches its programs before it takes.
        case .offered, .yielded: .resume
        // While `yield` is being done its end sets things right.
        case .awaitingHello, .yielding, .ended: .none
        }
    }
}
