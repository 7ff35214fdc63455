import Logging
import Operations
import Synchronization

/// Keeps what is logged: message and metadata in one line each.
final class LogLines: Sendable {
    private let lines = Mutex<[String]>([])

    var all: [String] { lines.withLock { $0 } }
    var logger: Logger {
        Logger(label: "test") { _ in
            ForwardingLogHandler { event, metadata in
                let fields = metadata.map { "\($0.key)=\($0.value)" }.sorted()
                self.lines.withLock { $0.append(([event.message.description] + fields).joined(separator: " ")) }
            }
        }
    }
}
