import Foundation
import NIOCore

extension AgentProcess {
    /// The JSON of one view, by the request that `podidentd debug` makes on the admin socket.
    ///
    /// No process is started for it: rows and clients are told apart by what the agent's counters grow, hundreds of times.
    func view(_ path: String) async throws -> Data {
        let socketPath = adminSocket
        let answer: Result<Data, any Error> = await onThread {
            Result { try AdminRequest.get(path, from: socketPath) }
        }
        return try answer.get()
    }
}

/// A request on a Unix socket, whose server ends the connection with its answer.
private enum AdminRequest {
    /// For each wait.
    private static let patience = 30 * LabKernel.patience

    /// Asks for `path`, and returns the answer's body. Blocks.
    static func get(_ path: String, from socketPath: String) throws -> Data {
        let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw LabError("cannot make a socket: error \(errno)") }
        defer { close(descriptor) }
        var limit = timeval(tv_sec: patience, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            unsafe setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        let address = try SocketAddress(unixDomainSocketPath: socketPath)
        guard unsafe address.withSockAddr({ unsafe connect(descriptor, $0, socklen_t($1)) }) == 0 else {
            throw LabError("no agent answers at \(socketPath): error \(errno)")
        }
        let request = [UInt8]("GET \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".utf8)
        guard unsafe send(descriptor, request, request.count, CInt(MSG_NOSIGNAL)) == request.count else {
            throw LabError("the agent at \(socketPath) takes no request: error \(errno)")
        }
        let text = String(decoding: try bytes(from: descriptor), as: UTF8.self)
        guard text.hasPrefix("HTTP/1.1 200 "), let head = text.firstRange(of: "\r\n\r\n") else {
            throw LabError("the agent at \(socketPath) answers '\(text.prefix(200))'")
        }
        return Data(text[head.upperBound...].utf8)
    }

    /// Everything that the peer sends until it ends the connection.
    private static func bytes(from descriptor: CInt) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw LabError("the agent's answer does not end: error \(errno)") }
            if count == 0 { return bytes }
            bytes += buffer[..<count]
        }
    }
}
