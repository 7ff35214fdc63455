import Glibc
import Settings
import Synchronization

/// Listening sockets that an earlier agent left to this one: each is taken at most once.
package final class OfferedSockets: Sendable {
    private let descriptors: Mutex<[CInt]>

    /// Owns `descriptors` from here on.
    package init(_ descriptors: [CInt] = []) {
        self.descriptors = Mutex(descriptors)
    }

    /// The socket that listens on exactly this address; the caller owns it.
    func take(_ address: AgentConfiguration.Address, port: UInt16) -> CInt? {
        descriptors.withLock { descriptors in
            descriptors.firstIndex { ListeningSocket.listens($0, on: address, port: port) }
                .map { descriptors.remove(at: $0) }
        }
    }

    /// Closes the sockets that no part has taken.
    package func closeRest() {
        let rest = descriptors.withLock { descriptors in
            defer { descriptors = [] }
            return descriptors
        }
        for descriptor in rest { close(descriptor) }
    }
}
