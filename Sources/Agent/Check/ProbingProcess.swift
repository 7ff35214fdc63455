import FoundationEssentials
import Glibc

/// What `podidentd probe-from-cgroup` does: moves itself into a cgroup, and tries. Prints the results as JSON.
package enum ProbingProcess {
    package static let command = "probe-from-cgroup"

    /// One probe lasts at most three times this.
    private static let patience: CInt = 2000
    /// No caller waits as long: a process that nobody ends ends itself.
    private static let lifetime: UInt32 = 60

    /// - Parameters:
    ///   - directory: The cgroup's directory.
    ///   - probes: A JSON array of ``SocketProbe``.
    /// - Returns: A JSON array of ``SocketProbeResult``, in the same order.
    /// - Throws: ``ConfigurationError`` if this process cannot be there.
    package static func run(cgroup directory: String, probes: String) throws -> String {
        alarm(lifetime)
        let probes = try JSONDecoder().decode([SocketProbe].self, from: Data(probes.utf8))
        try join(directory)
        let results = probes.map(attempt)
        return String(decoding: try JSONEncoder().encode(results), as: UTF8.self)
    }

    private static func join(_ directory: String) throws {
        let path = directory + "/cgroup.procs"
        let descriptor = unsafe open(path, O_WRONLY | O_CLOEXEC)
        defer { if descriptor >= 0 { close(descriptor) } }
        guard descriptor >= 0, unsafe write(descriptor, "0", 1) == 1 else {
            throw ConfigurationError("cannot move a process to \(path): \(unsafe String(cString: strerror(errno)))")
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
        guard descriptor >= 0 else { return SocketProbeResult(errorNumber: errno) }
        defer { close(descriptor) }
        switch probe.kind {
        case .connect: return connect(descriptor, to: name, probe)
        case .datagram: return SocketProbeResult(errorNumber: name.send([], on: descriptor))
        case .raw: return SocketProbeResult(errorNumber: name.send(segment(port: probe.port), on: descriptor))
        }
    }

    /// A SYN whose checksum is 0: nobody answers it.
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
        if let remote = result.remote, probe.agents.contains(remote) { result.status = ask(descriptor) }
        return result
    }

    /// The status of the agent's answer; `nil` if it resets the connection, as it does with those that carry no tag.
    private static func ask(_ descriptor: CInt) -> Int? {
        let request = [UInt8](
            "GET / HTTP/1.1\r\nHost: 169.254.169.254\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n".utf8)
        guard unsafe Glibc.send(descriptor, request, request.count, CInt(MSG_NOSIGNAL)) == request.count
        else { return nil }
        var head: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1024)
        // `HTTP/1.1 403`
        while head.count < 12 {
            guard isReady(descriptor, POLLIN) else { return nil }
            let length = unsafe recv(descriptor, &buffer, buffer.count, 0)
            guard length > 0 else { return nil }
            head += buffer.prefix(length)
        }
        let fields = String(decoding: head.prefix(12), as: UTF8.self).split(separator: " ")
        return fields.count == 2 && fields[0].hasPrefix("HTTP/1.") ? Int(fields[1]) : nil
    }

    private static func isReady(_ descriptor: CInt, _ events: CInt) -> Bool {
        var polled = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        return unsafe poll(&polled, 1, patience) == 1
    }
}

/// The kernel's form of an address and port.
private struct SocketName {
    let family: CInt
    private let bytes: [UInt8]

    init?(_ address: String, port: UInt16) {
        family = address.contains(":") ? AF_INET6 : AF_INET
        var words = [UInt8](repeating: 0, count: family == AF_INET ? 4 : 16)
        guard unsafe inet_pton(family, address, &words) == 1 else { return nil }
        let head =
            unsafe withUnsafeBytes(of: sa_family_t(family)) { unsafe Array($0) } + [
                UInt8(port >> 8), UInt8(port & 0xff),
            ]
        // sockaddr_in ends in eight bytes of nothing; sockaddr_in6 has a flow label before and a scope after.
        let none = [UInt8](repeating: 0, count: 8)
        bytes = family == AF_INET ? head + words + none : head + none.prefix(4) + words + none.prefix(4)
    }

    /// The error number; 0 for success.
    func connect(_ descriptor: CInt) -> Int32 {
        unsafe withName { unsafe Glibc.connect(descriptor, $0, $1) == 0 ? 0 : errno }
    }

    /// Sends one packet. The error number; 0 for success.
    func send(_ payload: [UInt8], on descriptor: CInt) -> Int32 {
        unsafe withName { name, length in
            let flags = CInt(MSG_NOSIGNAL)
            return unsafe sendto(descriptor, payload, payload.count, flags, name, length) == payload.count ? 0 : errno
        }
    }

    private func withName(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        unsafe bytes.withUnsafeBytes { buffer in
            guard let start = buffer.baseAddress else { return EINVAL }
            return unsafe body(start.assumingMemoryBound(to: sockaddr.self), socklen_t(buffer.count))
        }
    }
}
