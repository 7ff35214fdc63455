import CLabShims
import Foundation

/// A named network namespace that the lab made.
package struct NetworkNamespace: Sendable, Hashable {
    package let name: String

    package init(name: String) {
        self.name = name
    }

    /// The path at which `ip netns` keeps it.
    package var path: String { "/run/netns/\(name)" }

    /// Runs `ip` commands inside it, one a line.
    package func ip(_ commands: String) async throws {
        try await Command.require(["ip", "-n", name, "-batch", "-"], input: commands)
    }

    /// The same, whatever becomes of each.
    package func tryIP(_ commands: String) async throws {
        _ = try await Command.run(["ip", "-n", name, "-force", "-batch", "-"], input: commands)
    }

    /// Runs `body` on a thread that is inside the namespace. Sockets made there stay there.
    package func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) throws -> Value {
        let outcome = Outcome<Value>()
        let path = path
        let thread = Thread {
            outcome.set(
                Result {
                    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
                    guard descriptor >= 0 else { throw LabError("there is no network namespace at \(path)") }
                    defer { close(descriptor) }
                    guard lab_enter_network_namespace(descriptor) == 0 else {
                        throw LabError("cannot enter the network namespace at \(path): \(errno)")
                    }
                    return try body()
                }
            )
        }
        thread.start()
        return try outcome.wait().get()
    }

    /// Makes listening sockets inside the namespace, for servers of this process.
    package func listen(host: String, port: Int) throws -> CInt {
        try run { try LocalListener.factory(host, port) }
    }

    private final class Outcome<Value: Sendable>: Sendable {
        private let done = DispatchSemaphore(value: 0)
        /// Written once before the semaphore is signalled, read once after it was waited for.
        private nonisolated(unsafe) var result: Result<Value, any Error>?

        func set(_ result: Result<Value, any Error>) {
            unsafe self.result = result
            done.signal()
        }

        func wait() -> Result<Value, any Error> {
            done.wait()
            return unsafe result ?? .failure(LabError("a thread ended without a result"))
        }
    }
}
