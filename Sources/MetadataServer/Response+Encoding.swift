import NIOCore
import Tokens

extension Response {
    /// What the connection and the request add to a response.
    struct Framing {
        /// `HTTP/1.x`, as the request said.
        var minorVersion: Int
        var keepsAlive: Bool
        /// Whether only the head goes out.
        var isHead: Bool
    }

    /// Writes the whole response as one piece.
    ///
    /// Every response carries `Metadata-Flavor`: without it Go and Node conclude that there is no metadata server.
    func write(to buffer: inout ByteBuffer, framing: Framing, date: String) {
        buffer.writeString("HTTP/1.\(framing.minorVersion) \(status.rawValue) \(status.reasonPhrase)\r\n")
        buffer.writeStaticString("Metadata-Flavor: Google\r\nServer: GKE Metadata Server\r\nDate: ")
        buffer.writeString(date)
        switch body {
        case .text(let text): buffer.writeString("\r\nContent-Length: \(text.utf8.count)")
        case .secret(let token): buffer.writeString("\r\nContent-Length: \(token.exposed.utf8.count)")
        case .unknown: break
        }
        buffer.writeStaticString("\r\nContent-Type: ")
        buffer.writeString(contentType.rawValue)
        if contentType == .error {
            buffer.writeStaticString("\r\nX-Content-Type-Options: nosniff")
        }
        if let etag {
            buffer.writeString("\r\nETag: \(etag)")
        }
        if let location {
            buffer.writeString("\r\nLocation: \(location)")
        }
        if let retryAfter {
            buffer.writeString("\r\nRetry-After: \(retryAfter)")
        }
        switch (status, body) {
        case (.methodNotAllowed, _):
            buffer.writeStaticString("\r\nAllow: GET, HEAD")
        case (_, .secret), (_, .unknown):
            buffer.writeStaticString("\r\nCache-Control: no-store")
        case (_, .text):
            break
        }
        if !framing.keepsAlive {
            buffer.writeStaticString("\r\nConnection: close")
        } else if framing.minorVersion == 0 {
            buffer.writeStaticString("\r\nConnection: keep-alive")
        }
        buffer.writeStaticString("\r\n\r\n")

        guard !framing.isHead else { return }
        switch body {
        case .text(let text): buffer.writeString(text)
        case .secret(let token): buffer.writeString(token.exposed)
        case .unknown: break
        }
    }
}
