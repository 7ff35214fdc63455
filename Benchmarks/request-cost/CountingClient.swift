import Glibc

/// Asks for the token again and again with a blocking socket. Runs in a process of its own, so that nothing of it is
/// counted.
struct CountingClient {
    let port: UInt16

    private static let head =
        "GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1\r\nHost: 169.254.169.254\r\n"
        + "User-Agent: google-api-go-client/0.5\r\nMetadata-Flavor: Google\r\nAccept-Encoding: gzip\r\n"

    /// - Throws: If an answer is not a token.
    func run(_ load: Load) throws {
        switch load.connections {
        case .keptAlive:
            let descriptor = try connect()
            defer { close(descriptor) }
            for _ in 0..<load.requests { try ask(Self.head + "\r\n", on: descriptor) }
        case .new:
            for _ in 0..<load.requests {
                let descriptor = try connect()
                defer { close(descriptor) }
                try ask(Self.head + "Connection: close\r\n\r\n", on: descriptor)
                guard try receive(from: descriptor).isEmpty else { throw CostError("the connection did not end") }
            }
        }
    }

    private func ask(_ request: String, on descriptor: CInt) throws {
        let sent = unsafe Array(request.utf8).withUnsafeBytes { unsafe send(descriptor, $0.baseAddress, $0.count, 0) }
        guard sent == request.utf8.count else { throw CostError("cannot send a request: errno \(errno)") }
        var answer = try receive(from: descriptor)
        // The token's JSON is all that ends so.
        while !answer.hasSuffix("\"}") {
            let more = try receive(from: descriptor)
            guard !more.isEmpty else { break }
            answer += more
        }
        guard answer.hasPrefix("HTTP/1.1 200 OK\r\n"), answer.hasSuffix(#""token_type":"Bearer"}"#) else {
            throw CostError("the answer is no token: \(answer.prefix { $0 != "\r\n" })")
        }
    }

    private func receive(from descriptor: CInt) throws -> String {
        var buffer = [UInt8](repeating: 0, count: 8192)
        let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, $0.count, 0) }
        guard count >= 0 else { throw CostError("cannot receive an answer: errno \(errno)") }
        return String(decoding: buffer.prefix(count), as: UTF8.self)
    }

    private func connect() throws -> CInt {
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                unsafe Glibc.connect(descriptor, pointer, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            defer { close(descriptor) }
            throw CostError("cannot connect: errno \(errno)")
        }
        return descriptor
    }
}
