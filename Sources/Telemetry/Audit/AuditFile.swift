import EventLoops
import Glibc
import Logging
import NIOPosix
import Operations
import Synchronization

/// Appends lines to a file or to standard output, on a thread of its own. A caller that appends never waits: lines that
/// find no room, in the queue or on the disk, are counted, and the next line that is written says how many.
///
/// A file that was moved or removed is opened again, so that log rotation need not signal the agent.
final class AuditFile: Sendable {
    /// Lines that may wait, about 4 MiB.
    static let queueLimit = 8192

    private struct Queue {
        var lines: [String] = []
        var isDraining = false
        /// Whether no line is taken any more.
        var isClosed = false
        /// Lost since the last line that was written.
        var unreported: UInt64 = 0
    }

    let written = MetricCounter()
    let lost = MetricCounter()
    private let path: String
    /// Makes the line that reports a loss.
    private let lossLine: @Sendable (Int) -> String
    private let logger: Logger
    private let queue = Mutex(Queue())
    private let output: Mutex<AuditOutput>
    private let thread = NIOThreadPool(numberOfThreads: 1)

    /// Opens `path`; `-` is standard output.
    init(path: String, logger: Logger, lossLine: @escaping @Sendable (Int) -> String) throws {
        self.path = path
        self.logger = logger
        self.lossLine = lossLine
        // A reader that goes away is an error of the write, not the agent's end.
        signal(SIGPIPE, SIG_IGN)
        output = Mutex(try AuditOutput(path: path))
        thread.start()
    }

    func append(_ line: String) {
        let mustStart = queue.withLock { queue in
            guard !queue.isClosed, queue.lines.count < Self.queueLimit else {
                queue.unreported += 1
                lost.increment()
                return false
            }
            queue.lines.append(line)
            defer { queue.isDraining = true }
            return !queue.isDraining
        }
        guard mustStart else { return }
        thread.submit { [self] state in
            // A pool that has been shut down calls this on the caller's own thread.
            if case .active = state { drain() }
        }
    }

    /// Opens the path again at the next line.
    func reopen() {
        thread.submit { [self] _ in
            output.withLock { $0.close() }
        }
    }

    /// Writes what waits, for at most a second: a reader that does not read must not keep the agent from ending. A line that
    /// comes later is lost: its caller would have to write it.
    func close(within limit: Duration = .seconds(1)) async {
        queue.withLock { $0.isClosed = true }
        await runClosing(within: limit) { [self] in
            // A pool that is shut down leaves lines to a thread that nothing waits for. Drains itself: the caller of the last
            // line may not have come to that yet.
            try? await thread.runIfActive { self.drain() }
        }
        thread.shutdownGracefully { _ in }
    }

    private func drain() {
        while true {
            let (lines, lostBefore) = queue.withLock { queue in
                defer { queue.lines.removeAll() }
                queue.isDraining = !queue.lines.isEmpty
                return (queue.lines, queue.unreported)
            }
            guard !lines.isEmpty else { break }
            write(lines, lostBefore: lostBefore)
        }
    }

    private func write(_ lines: [String], lostBefore: UInt64) {
        output.withLock { output in
            var unreported = lostBefore
            for line in lines {
                let report = unreported > 0 ? lossLine(Int(clamping: unreported)) : ""
                if let problem = output.write(Array((report + line).utf8)) {
                    unreported += 1
                    lost.increment()
                    if output.isNews(problem) {
                        logger.error(
                            "audit lines are being lost", metadata: ["path": "\(path)", "reason": "\(problem)"])
                    }
                } else {
                    unreported = 0
                    written.increment()
                    if output.isRecovered() { logger.notice("audit lines are written again") }
                }
            }
            // Losses of the queue meanwhile come on top.
            queue.withLock { queue in queue.unreported = queue.unreported - lostBefore + unreported }
        }
    }
}
