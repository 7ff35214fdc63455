package import BPF
import Dispatch
import Glibc
package import Logging
import Settings
import UnixSignals

/// Decides which process is the agent of a pin directory: the first one, or the successor of the one that runs.
package enum Succession {
    /// How long an agent that is stopping may take to give up the lock, or one that runs to answer.
    private static let patience = Duration.seconds(5)

    /// Takes the lock or finds the agent that has it.
    ///
    /// - Parameters:
    ///   - lock: The pin directory's.
    ///   - pins: Where that is, for the error.
    ///   - path: Where the running agent offers its sockets.
    /// - Throws: An error that names the process in the way.
    /// - Returns: The running agent; `nil` if there is none, and the lock is this process's.
    package static func predecessor(_ lock: PinLock, pins: String, at path: String) async throws -> Predecessor? {
        let deadline = ContinuousClock.now + patience
        while true {
            if try lock.tryAcquire() { return nil }
            do {
                return try await Predecessor.meet(at: path, lock: lock)
            } catch {
                guard ContinuousClock.now < deadline else {
                    let holder = lock.holder.map { "PID \($0)" } ?? "in another PID namespace"
                    throw AgentError(
                        "another agent (\(holder)) runs with bpf.pin-directory \(pins) and hands nothing over: \(error); "
                            + "stop it first, or give both the same admin.socket")
                }
            }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// Has `predecessor` stop accepting, and takes the lock from it.
    package static func replace(_ predecessor: Predecessor, _ lock: PinLock) async throws {
        try await predecessor.take()
        // A replaced agent that waits for the lock may hold it for a moment.
        let deadline = ContinuousClock.now + .seconds(1)
        while try !lock.tryAcquire() {
            guard ContinuousClock.now < deadline else {
                throw AgentError("another agent took the lock of bpf.pin-directory during the hand-over")
            }
            try await Task.sleep(for: .milliseconds(5))
        }
        // An agent whose patience is over goes on without the lock: what it takes back must not be written over.
        guard predecessor.isWaiting else {
            throw AgentError(
                "the running agent has ended, or has taken everything back because the hand-over took too long")
        }
    }

    /// Waits until the successor has ended, or until this process is told to end.
    ///
    /// A supervisor that starts whatever ends, such as the kubelet, would otherwise start the agent that was just
    /// replaced, which would replace its successor.
    ///
    /// - Parameters:
    ///   - lock: The pin directory's. It is free when the successor has ended, and for a moment when one replaces it.
    ///   - path: Where an agent that runs answers, which tells these two apart.
    ///   - signals: Every signal to end since this process began: one may have come before it was replaced.
    ///   - logger: Gets why the wait began and ended.
    package static func standBy(_ lock: PinLock, at path: String, signals: EndSignals, logger: Logger) async {
        logger.info("replaced; waiting to be stopped, or for the successor's end")
        let (ends, end) = AsyncStream.makeStream(of: String.self)
        Task {
            for await signal in signals.received { end.yield("\(signal)") }
        }
        // The call may block without end: nothing waits for its thread when the process ends.
        DispatchQueue(label: "podidentd.succession").async {
            while true {
                lock.acquireBlocking()
                lock.release()
                guard Predecessor.answers(at: path) else { break }
                sleep(1)
            }
            end.yield("the successor has ended")
        }
        for await reason in ends {
            logger.info("the replaced agent ends", metadata: ["reason": "\(reason)"])
            return
        }
    }
}

/// The signals that tell this process to end, from the first one on.
package struct EndSignals: Sendable {
    let received: AsyncStream<UnixSignal>

    /// Traps them, beside other traps.
    package init() async {
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        let (received, continuation) = AsyncStream.makeStream(of: UnixSignal.self, bufferingPolicy: .bufferingOldest(1))
        self.received = received
        Task {
            for await signal in signals { continuation.yield(signal) }
        }
    }
}
