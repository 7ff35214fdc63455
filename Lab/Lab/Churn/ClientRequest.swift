import Foundation
package import NIOCore

/// One exchange that a visitor makes, and what came of it: lines of JSON between a test and its visitor.
package struct ClientRequest: Codable, Sendable {
    /// The `cgroup.procs` of the cgroup to make it from; `nil`: wherever the visitor is.
    package var processes: String?
    package var path: String
    /// The request's fields beside `Host`; `nil`: the one that the protocol demands.
    package var headers: [String]?
    package var manner = Manner.newConnection

    package enum Manner: String, Codable, Sendable {
        case newConnection
        /// The visitor uses its own connection, which it keeps for as long as the server lets it. From `home` only.
        case keptConnection
        /// The visitor uses a connection of its own, a byte now and then, until the server has enough of it.
        case slow
    }

    /// The result, and the time that it took without the way into the cgroup and back.
    package struct Outcome: Codable, Sendable {
        package var result: Result
        package var microseconds: Int64
    }

    package enum Result: Codable, Sendable, Equatable {
        case answered(status: Int, body: String)
        case refused
        case reset
        case failed(String)
    }

    package init(
        processes: String? = nil, path: String, headers: [String]? = nil, manner: Manner = .newConnection
    ) {
        self.processes = processes
        self.path = path
        self.headers = headers
        self.manner = manner
    }

    fileprivate static func move(to processes: String) -> Bool {
        let descriptor = unsafe open(processes, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return unsafe write(descriptor, "0", 1) == 1
    }
}

/// Makes visits, one after the other, from the process that it is in.
package final class VisitMaker {
    private let home: String
    private let address: SocketAddress
    private let kept: KeptProbeConnection

    /// `home` is the `cgroup.procs` of the cgroup to return to.
    package init(from home: String, to address: SocketAddress) {
        self.home = home
        self.address = address
        kept = KeptProbeConnection(to: address)
    }

    /// Moves this process into the visit's cgroup, makes the exchange, and moves it back.
    package func make(_ visit: ClientRequest) -> ClientRequest.Outcome {
        if let processes = visit.processes, !ClientRequest.move(to: processes) {
            return ClientRequest.Outcome(result: .failed("cannot enter \(processes)"), microseconds: 0)
        }
        let start = ContinuousClock.now
        var result = exchange(visit)
        let elapsed = ContinuousClock.now - start
        if visit.processes != nil, !ClientRequest.move(to: home) { result = .failed("cannot leave for \(home)") }
        return ClientRequest.Outcome(result: result, microseconds: Int64(elapsed / .microseconds(1)))
    }

    private func exchange(_ visit: ClientRequest) -> ClientRequest.Result {
        let headers = visit.headers ?? ["Metadata-Flavor: Google"]
        let outcome =
            switch visit.manner {
            case .newConnection: ProbeConnection.get(visit.path, from: address, headers: headers)
            case .keptConnection: kept.get(visit.path)
            case .slow: ProbeConnection.get(visit.path, from: address, headers: headers, isSlow: true)
            }
        return switch outcome {
        case .answered(let status, _, let body, _): .answered(status: status, body: body)
        case .refused: .refused
        case .reset: .reset
        case .failed(let number): .failed("error \(number)")
        }
    }
}
