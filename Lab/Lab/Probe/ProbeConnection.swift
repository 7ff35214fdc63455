import Foundation
package import NIOCore

/// How one HTTP exchange of the probe ended.
package enum ProbeOutcome: Sendable, Equatable {
    case answered(status: Int, headers: String, body: String, peer: String)
    /// `ECONNREFUSED`: what a pod must see while the agent is away.
    case refused
    /// The peer reset the connection, or closed it without an answer.
    case reset
    case failed(errorNumber: Int32)
}

/// A plain blocking HTTP/1.1 client on one socket: what a workload's runtime does, with nothing in between.
package enum ProbeConnection {
    /// Seconds after which a client usually gives up.
    package static let patience = 10

    /// Asks `target` of the server at `address` for `path` on a connection of its own.
    ///
    /// The family of the socket is the family of `address`: `::ffff:169.254.169.254` makes an AF_INET6 socket, as
    /// every JVM does. A slow client sends a byte every tenth of a second, until the server ends it or has the request.
    /// `patience` is for each wait, in seconds.
    package static func get(
        _ path: String, from address: SocketAddress, headers: [String] = ["Metadata-Flavor: Google"],
        isSlow: Bool = false, patience: Int = patience
    ) -> ProbeOutcome {
        let descriptor = socket(
            CInt(address.protocol.rawValue), CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return .failed(errorNumber: errno) }
        defer { close(descriptor) }
        if let failure = connect(descriptor, to: address, patience: patience) { return failure }
        let peer = peerName(of: descriptor)
        let lines = ["GET \(path) HTTP/1.1", "Host: 169.254.169.254"] + headers + ["Connection: close", "", ""]
        let request = [UInt8](lines.joined(separator: "\r\n").utf8)
        if isSlow {
            trickle(request, into: descriptor)
            return read(from: descriptor, peer: peer)
        }
        guard unsafe send(descriptor, request, request.count, CInt(MSG_NOSIGNAL)) == request.count else {
            return errno == ECONNRESET || errno == EPIPE ? .reset : .failed(errorNumber: errno)
        }
        return read(from: descriptor, peer: peer)
    }

    /// Sends a byte at a time until the server has answered or closed.
    private static func trickle(_ request: [UInt8], into descriptor: CInt) {
        for byte in request {
            guard unsafe send(descriptor, [byte], 1, CInt(MSG_NOSIGNAL)) == 1 else { return }
            var poll = pollfd(fd: descriptor, events: CShort(POLLIN), revents: 0)
            guard unsafe Foundation.poll(&poll, 1, 100) == 0 else { return }
        }
    }

    /// Connects within the patience, which is also the limit of every later wait. `nil`: connected.
    static func connect(
        _ descriptor: CInt, to address: SocketAddress, patience: Int = patience
    ) -> ProbeOutcome? {
        var limit = timeval(tv_sec: patience, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            unsafe setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        guard unsafe address.withSockAddr({ unsafe Foundation.connect(descriptor, $0, socklen_t($1)) }) != 0 else {
            return nil
        }
        switch errno {
        case ECONNREFUSED, LabKernel.refusalError: return .refused
        // The peer reset the connection before this thread saw it established.
        case ECONNRESET: return .reset
        default: return .failed(errorNumber: errno)
        }
    }

    private static func read(from descriptor: CInt, peer: String) -> ProbeOutcome {
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16 * 1024)
        while true {
            let length = unsafe recv(descriptor, &buffer, buffer.count, 0)
            if length < 0, errno == EINTR { continue }
            if length < 0 { return errno == ECONNRESET ? .reset : .failed(errorNumber: errno) }
            if length == 0 { break }
            answer.append(contentsOf: buffer.prefix(length))
        }
        let text = String(decoding: answer, as: UTF8.self)
        guard let end = text.range(of: "\r\n\r\n"), text.hasPrefix("HTTP/1."),
            let status = Int(text.dropFirst(9).prefix(3))
        else { return .reset }
        return .answered(
            status: status, headers: String(text[..<end.lowerBound]), body: String(text[end.upperBound...]), peer: peer
        )
    }

    private static func peerName(of descriptor: CInt) -> String {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                unsafe getpeername(descriptor, pointer, &length)
            }
        }
        guard result == 0, storage.ss_family != sa_family_t(AF_UNIX) else { return "unknown" }
        if storage.ss_family == sa_family_t(AF_INET6) {
            let address = unsafe withUnsafeBytes(of: &storage) { unsafe $0.load(as: sockaddr_in6.self) }
            return SocketAddress(address).readable
        }
        let address = unsafe withUnsafeBytes(of: &storage) { unsafe $0.load(as: sockaddr_in.self) }
        return SocketAddress(address).readable
    }
}

extension SocketAddress {
    /// `address:port`, brackets around IPv6.
    fileprivate var readable: String {
        let ip = ipAddress ?? "unknown"
        return ip.contains(":") ? "[\(ip)]:\(port ?? 0)" : "\(ip):\(port ?? 0)"
    }
}
