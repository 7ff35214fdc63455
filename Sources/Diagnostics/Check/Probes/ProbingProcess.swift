import Enforcement
import FoundationEssentials
import Glibc
import Linux
import Settings

/// `podidentd probe-from-cgroup`: moves itself into a cgroup, and tries. Prints the results as JSON.
package enum ProbingProcess {
    package static let command = "probe-from-cgroup"

    /// One probe lasts at most three times this.
    private static let patience: CInt = 2000
    /// The seconds after which a process without a caller ends itself: no caller waits as long.
    private static let lifetime: UInt32 = 60

    /// - Parameters:
    ///   - directory: The cgroup's directory.
    ///   - probes: A JSON array of ``SocketProbe``.
    /// - Returns: A ``SocketProbeReport`` as JSON.
    /// - Throws: ``AgentError`` if this process cannot be there.
    package static func run(cgroup directory: String, probes: String) throws -> String {
        alarm(lifetime)
        let probes = try JSONDecoder().decode([SocketProbe].self, from: Data(probes.utf8))
        try join(directory)
        return String(decoding: try JSONEncoder().encode(report(probes)), as: UTF8.self)
    }

    /// Makes the probes from the cgroup that this process is in, unless the hooks do not take it for a pod's. Blocks
    /// for some seconds for each probe that gets no answer.
    static func report(_ probes: [SocketProbe]) -> SocketProbeReport {
        for probe in probes where !probe.agents.isEmpty {
            if let problem = OwnConnection.redirectProblem(at: probe.address) {
                return SocketProbeReport(problem: "\(probe.address): \(problem)")
            }
        }
        return SocketProbeReport(results: probes.map(attempt))
    }

    private static func join(_ directory: String) throws {
        let path = directory + "/cgroup.procs"
        let descriptor = unsafe open(path, O_WRONLY | O_CLOEXEC)
        defer { if descriptor >= 0 { close(descriptor) } }
        guard descriptor >= 0, unsafe write(descriptor, "0", 1) == 1 else {
            throw AgentError("cannot move a process to \(path): \(errorText(errno))")
        }
    }

    private static func attempt(_ probe: SocketProbe) -> SocketProbeResult {
        guard let name = SocketName(probe.address, port: probe.kind == .raw ? 0 : probe.port) else {
            return SocketProbeResult(errorNumber: EINVAL)
        }
        let (type, proto): (UInt32, CInt) =
            switch probe.kind {
            case .connect: (SOCK_STREAM.rawValue, 0)
            case .datagram: (SOCK_DGRAM.rawValue, 0)
            case .raw: (SOCK_RAW.rawValue, CInt(IPPROTO_TCP))
            }
        let descriptor = socket(name.family, CInt(type | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), proto)
        guard descriptor >= 0 else {
            return SocketProbeResult(errorNumber: errno, isUntried: probe.kind == .raw && errno == EPERM ? true : nil)
        }
        defer { close(descriptor) }
        switch probe.kind {
        case .connect: return connect(descriptor, to: name, probe)
        case .datagram: return SocketProbeResult(errorNumber: name.send([], on: descriptor))
        case .raw: return SocketProbeResult(errorNumber: name.send(segment(port: probe.port), on: descriptor))
        }
    }

    /// A SYN whose checksum is 0: no server answers it.
    private static func segment(port: UInt16) -> [UInt8] {
        [0x80, 0, UInt8(port >> 8), UInt8(port & 0xff), 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]
    }

    private static func connect(_ descriptor: CInt, to name: SocketName, _ probe: SocketProbe) -> SocketProbeResult {
        var result = SocketProbeResult(errorNumber: name.connect(descriptor))
        if result.errorNumber == EINPROGRESS {
            guard isReady(descriptor, POLLOUT) else { return SocketProbeResult(errorNumber: ETIMEDOUT) }
            var length = socklen_t(MemoryLayout<Int32>.size)
            unsafe getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &result.errorNumber, &length)
        }
        guard result.errorNumber == 0 else { return result }
        result.remote = SocketTable.remote(ofSocket: descriptor, isIPv6: name.family == AF_INET6)
        // Anybody else is none of our business, least of all the machine's own metadata server.
        guard let remote = result.remote, probe.agents.contains(remote) else { return result }
        if case .complete(let status, let body)? = ask(descriptor, probe.address) {
            result.status = status
            result.body = body.split(separator: "\n").first.map { String($0.prefix(200)) }
        }
        return result
    }

    /// The agent's answer; `nil` if it resets the connection, as it does with those that carry no tag.
    private static func ask(_ descriptor: CInt, _ address: String) -> OwnConnection.Answer? {
        let request = OwnConnection.request(to: address)
        guard unsafe Glibc.send(descriptor, request, request.count, CInt(MSG_NOSIGNAL)) == request.count
        else { return nil }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1024)
        while bytes.count < OwnConnection.bytesMax, isReady(descriptor, POLLIN) {
            let length = unsafe recv(descriptor, &buffer, buffer.count, 0)
            guard length > 0 else { return nil }
            bytes += buffer.prefix(length)
            let answer = OwnConnection.parse(bytes[...])
            if answer != .incomplete { return answer }
        }
        return nil
    }

    private static func isReady(_ descriptor: CInt, _ events: CInt) -> Bool {
        var polled = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        return unsafe poll(&polled, 1, patience) == 1
    }
}
