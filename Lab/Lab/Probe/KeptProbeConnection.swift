import Foundation
import NIOCore

/// A plain blocking HTTP/1.1 client that asks again and again on one connection, and connects again only after an
/// answer that said `Connection: close`. It never repeats a request: a connection that ends without an answer is a
/// failure.
final class KeptProbeConnection {
    private let address: SocketAddress
    private var descriptor: CInt = -1

    init(to address: SocketAddress) {
        self.address = address
    }

    deinit {
        disconnect()
    }

    /// Asks for `path`.
    func get(_ path: String) -> ProbeOutcome {
        if descriptor < 0 {
            descriptor = socket(
                address.protocol == .inet6 ? AF_INET6 : AF_INET,
                CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue),
                0)
            guard descriptor >= 0 else { return .failed(errorNumber: errno) }
            if let failure = ProbeConnection.connect(descriptor, to: address) { return fail(failure) }
        }
        let request = [UInt8](
            "GET \(path) HTTP/1.1\r\nHost: 169.254.169.254\r\nMetadata-Flavor: Google\r\n\r\n".utf8)
        guard unsafe send(descriptor, request, request.count, CInt(MSG_NOSIGNAL)) == request.count else {
            return fail(errno == ECONNRESET || errno == EPIPE ? .reset : .failed(errorNumber: errno))
        }
        return receive()
    }

    private func receive() -> ProbeOutcome {
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16 * 1024)
        while true {
            let length = unsafe recv(descriptor, &buffer, buffer.count, 0)
            guard length > 0 else {
                return fail(length == 0 || errno == ECONNRESET ? .reset : .failed(errorNumber: errno))
            }
            answer.append(contentsOf: buffer.prefix(length))
            let text = String(decoding: answer, as: UTF8.self)
            guard let end = text.range(of: "\r\n\r\n") else { continue }
            let head = String(text[..<end.lowerBound])
            let body = String(text[end.upperBound...])
            guard body.utf8.count >= field("Content-Length", of: head).flatMap({ Int($0) }) ?? 0 else { continue }
            guard let status = Int(head.dropFirst(9).prefix(3)) else { return fail(.reset) }
            if field("Connection", of: head) == "close" { disconnect() }
            return .answered(status: status, headers: head, body: body, peer: "")
        }
    }

    private func field(_ name: String, of head: String) -> String? {
        head.components(separatedBy: "\r\n").first { $0.hasPrefix(name + ": ") }
            .map { String($0.dropFirst(name.count + 2)) }
    }

    private func fail(_ outcome: ProbeOutcome) -> ProbeOutcome {
        disconnect()
        return outcome
    }

    private func disconnect() {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
    }
}
