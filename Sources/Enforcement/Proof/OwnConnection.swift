import Glibc
import Linux
import MetadataProtocol
import Settings

/// One connection of this process to a redirected address, made without blocking.
package struct OwnConnection {
    package enum Answer: Equatable {
        case incomplete
        case broken
        case complete(status: Int, body: String)
    }

    private static let port: UInt16 = 80
    private static let noPod =
        "the hooks do not take this process for a pod's, so pods are not redirected: the programs know another kubepods "
        + "cgroup or level than this node's, or a policy passthrough names this pod; compare cgroup.kubepods and policies, "
        + "and restart the agent"
    /// The most bytes that are read: more than any answer to ``MetadataProtocol/OwnPath/podUID`` has.
    package static let bytesMax = 4096

    private let descriptor: CInt
    private let name: SocketName
    /// `SO_COOKIE`: the kernel's number of this socket, which no other gets.
    let cookie: UInt64
    private let address: String

    init(to address: String) throws(AgentError) {
        guard let name = SocketName(address, port: Self.port) else {
            throw AgentError("'\(address)' is no address")
        }
        descriptor = Self.socket(name, SOCK_STREAM.rawValue)
        guard descriptor >= 0 else { throw AgentError("no socket: \(Self.text(errno))") }
        self.name = name
        self.address = address
        var cookie: UInt64 = 0
        var length = socklen_t(MemoryLayout<UInt64>.size)
        guard unsafe getsockopt(descriptor, SOL_SOCKET, SO_COOKIE, &cookie, &length) == 0 else {
            let reason = errno
            Glibc.close(descriptor)
            throw AgentError("no SO_COOKIE: \(Self.text(reason))")
        }
        self.cookie = cookie
    }

    /// Why the hooks would not redirect a connection of this process to `address`; `nil`: they would.
    ///
    /// Asks without sending anything: they refuse a pod's UDP `connect()` to port 80 of a protected address, and let that
    /// of everybody else pass. A TCP connection that is not redirected would go to the machine's own metadata server.
    package static func redirectProblem(at address: String) -> String? {
        guard let name = SocketName(address, port: port) else { return "'\(address)' is no address" }
        let descriptor = socket(name, SOCK_DGRAM.rawValue)
        guard descriptor >= 0 else { return "no socket: \(text(errno))" }
        defer { Glibc.close(descriptor) }
        switch name.connect(descriptor) {
        case ECONNREFUSED, EPERM: return nil
        case 0: return noPod
        case let number: return "cannot be asked: \(text(number))"
        }
    }

    /// Sends the SYN. The problem, if the kernel refuses.
    func begin() -> String? {
        let number = name.connect(descriptor)
        return number == 0 || number == EINPROGRESS ? nil : "refused by the kernel: \(Self.text(number))"
    }

    /// Why the connection has failed meanwhile; `nil`: it has not.
    var problem: String? {
        var number: CInt = 0
        var length = socklen_t(MemoryLayout<CInt>.size)
        guard unsafe getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &number, &length) == 0 else {
            return Self.text(errno)
        }
        switch number {
        case 0: return nil
        case ECONNREFUSED: return "redirected, but refused: nothing listens in the node's network namespace"
        case let number: return "redirected, then \(Self.text(number))"
        }
    }

    /// Sends the request; whether it was sent whole.
    func ask() -> Bool {
        let request = Self.request(to: address)
        return unsafe send(descriptor, request, request.count, CInt(MSG_NOSIGNAL)) == request.count
    }

    /// Asks which pod the agent takes the caller for. `address` is redirected; a mapped one stands for its IPv4 address.
    package static func request(to address: String) -> [UInt8] {
        let bare = address.hasPrefix("::ffff:") ? String(address.dropFirst(7)) : address
        let host = bare.contains(":") ? "[\(bare)]" : bare
        let head = [
            "GET \(OwnPath.podUID) HTTP/1.1", "Host: \(host)", "Metadata-Flavor: Google", "Connection: close",
        ]
        return [UInt8]((head.joined(separator: "\r\n") + "\r\n\r\n").utf8)
    }

    /// The answer, once all of it is there. Leaves it with the kernel until then.
    func answer() -> Answer {
        var buffer = [UInt8](repeating: 0, count: Self.bytesMax)
        let length = unsafe recv(descriptor, &buffer, buffer.count, CInt(MSG_PEEK | MSG_DONTWAIT))
        guard length > 0 else { return length < 0 && errno == EAGAIN ? .incomplete : .broken }
        return Self.parse(buffer.prefix(length))
    }

    /// Reads `HTTP/1.1 200`, any header fields of which Content-Length counts, and the body.
    package static func parse(_ bytes: ArraySlice<UInt8>) -> Answer {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.firstRange(of: "\r\n\r\n") else { return .incomplete }
        let lines = text[..<end.lowerBound].split(separator: "\r\n")
        let words = lines.first?.split(separator: " ") ?? []
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else { return .broken }
        let lengths = lines.dropFirst().compactMap { line -> Int? in
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, parts[0].lowercased() == "content-length" else { return nil }
            return Int(parts[1].drop { $0 == " " })
        }
        let body = text[end.upperBound...].utf8
        guard let length = lengths.first else { return .incomplete }
        guard length >= 0 else { return .broken }
        guard body.count >= length else { return .incomplete }
        return .complete(status: status, body: String(decoding: body.prefix(length), as: UTF8.self))
    }

    func close() {
        Glibc.close(descriptor)
    }

    private static func socket(_ name: SocketName, _ type: UInt32) -> CInt {
        Glibc.socket(name.family, CInt(type | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    }

    private static func text(_ number: CInt) -> String { errorText(number) }
}
