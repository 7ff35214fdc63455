package import Logging
import Synchronization
import Tokens

/// The last lines of the log, in memory, for an operator who debugs a node without access to its log.
package final class RecentLog: Sendable {
    private struct Storage {
        var lines: [String] = []
        /// The index of the oldest line, once the ring is full.
        var head = 0
    }

    private let limit: Int
    private let lineLimit: Int
    private let storage = Mutex(Storage())

    /// Keeps `limit` lines of at most `lineLimit` bytes each: with the defaults, 4 MB at worst and 200 KB in practice.
    package init(limit: Int = 1000, lineLimit: Int = 4096) {
        self.limit = max(1, limit)
        self.lineLimit = lineLimit
    }

    /// Oldest first.
    package var lines: [String] {
        storage.withLock { Array($0.lines[$0.head...] + $0.lines[..<$0.head]) }
    }

    package func record(_ line: String) {
        let line = String(decoding: line.utf8.prefix(lineLimit), as: UTF8.self)
        storage.withLock { storage in
            if storage.lines.count < limit {
                storage.lines.append(line)
            } else {
                storage.lines[storage.head] = line
                storage.head = (storage.head + 1) % limit
            }
        }
    }

    /// A handler that keeps what `handler` is told, and tells it.
    package func keeping(_ handler: any LogHandler) -> any LogHandler {
        MultiplexLogHandler([
            handler,
            ForwardingLogHandler { event, metadata in
                let details = metadata.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
                self.record(SecretRedactor.redact("\(WallClock.timestamp()) \(event.level) \(event.message)\(details)"))
            },
        ])
    }
}
