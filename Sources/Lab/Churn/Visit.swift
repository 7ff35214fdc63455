import Foundation
package import NIOCore

/// One exchange that a visitor makes, and what came of it: lines of JSON between a test and its visitor.
package struct Visit: Codable, Sendable {
    /// The `cgroup.procs` of the cgroup to make it from; `nil`: wherever the visitor is.
    package var processes: String?
    package var path: String

    package enum Result: Codable, Sendable, Equatable {
        case answered(status: Int, body: String)
        case refused
        case reset
        case failed(String)
    }

    package init(processes: String?, path: String) {
        self.processes = processes
        self.path = path
    }

    /// Moves this process into the cgroup, makes the exchange, and moves it back to `home`.
    package func make(from home: String, to address: SocketAddress) -> Result {
        if let processes, !Self.move(to: processes) { return .failed("cannot enter \(processes)") }
        let outcome = ProbeConnection.get(path, from: address)
        if processes != nil, !Self.move(to: home) { return .failed("cannot leave for \(home)") }
        return switch outcome {
        case .answered(let status, _, let body, _): .answered(status: status, body: body)
        case .refused: .refused
        case .reset: .reset
        case .failed(let number): .failed("error \(number)")
        }
    }

    private static func move(to processes: String) -> Bool {
        let descriptor = unsafe open(processes, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return unsafe write(descriptor, "0", 1) == 1
    }
}
