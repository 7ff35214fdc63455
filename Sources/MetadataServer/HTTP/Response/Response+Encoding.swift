package import MetadataProtocol
import NIOCore
import NIOHTTP1
import Tokens

extension Response {
    /// The parts of a response that depend on the connection and the request.
    struct Framing: Equatable {
        /// `HTTP/1.x`, as the request said.
        var minorVersion: Int
        var keepsAlive: Bool
        /// Whether only the head goes out.
        var isHead: Bool

        init(_ request: HTTPRequestHead, keepsAlive: Bool) {
            minorVersion = request.version.minor == 0 ? 0 : 1
            self.keepsAlive = keepsAlive
            isHead = request.method == .HEAD
        }
    }

    /// Room for the whole response at once, so that a token is not moved: the head is about 250 bytes.
    func capacity(framing: Framing) -> Int { 512 + (framing.isHead ? 0 : body.length ?? 0) }

    /// Writes the whole response as one piece, and returns the index of the date in it.
    ///
    /// Every response of Google's protocol carries `Metadata-Flavor`: without it Go and Node conclude that there is no
    /// metadata server.
    @discardableResult
    func write(to buffer: inout ByteBuffer, framing: Framing, date: String) -> Int {
        // In pieces, not as interpolated strings: this is every request's, and each of those would be an allocation.
        buffer.writeStaticString(framing.minorVersion == 0 ? "HTTP/1.0 " : "HTTP/1.1 ")
        buffer.writeString(String(status.rawValue))
        buffer.writeStaticString(" ")
        buffer.writeString(status.reasonPhrase)
        if dialect.isGoogle {
            buffer.writeStaticString("\r\nMetadata-Flavor: Google\r\nServer: GKE Metadata Server\r\nDate: ")
        } else {
            buffer.writeStaticString("\r\nServer: ")
            buffer.writeString(dialect.server)
            buffer.writeStaticString("\r\nDate: ")
        }
        let dateIndex = buffer.writerIndex
        buffer.writeString(date)
        if let length = body.length {
            buffer.writeStaticString("\r\nContent-Length: ")
            buffer.writeString(String(length))
        }
        buffer.writeStaticString("\r\nContent-Type: ")
        buffer.writeString(contentType.rawValue)
        if contentType == .error {
            buffer.writeStaticString("\r\nX-Content-Type-Options: nosniff")
        }
        if let etag {
            buffer.writeStaticString("\r\nETag: ")
            buffer.writeString(etag)
        }
        if let location {
            buffer.writeString("\r\nLocation: \(location)")
        }
        if let retryAfter {
            buffer.writeString("\r\nRetry-After: \(retryAfter)")
        }
        for field in fields {
            buffer.writeStaticString("\r\n")
            buffer.writeString(field.name)
            buffer.writeStaticString(": ")
            buffer.writeString(field.value)
        }
        switch (status, body) {
        case (.methodNotAllowed, _) where dialect.isGoogle:
            buffer.writeStaticString("\r\nAllow: GET, HEAD")
        case (_, .secret), (_, .document), (_, .unknown):
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

        guard !framing.isHead else { return dateIndex }
        switch body {
        case .text(let text): buffer.writeString(text)
        case .secret(let token): buffer.writeString(token.exposed)
        case .document(let document): document.write(to: &buffer)
        case .unknown: break
        }
        return dateIndex
    }
}

extension Response.Body {
    /// The body as a client receives it.
    package var bytes: [UInt8] {
        switch self {
        case .text(let text): return Array(text.utf8)
        case .secret(let token): return Array(token.exposed.utf8)
        case .document(let document):
            var buffer = ByteBuffer()
            document.write(to: &buffer)
            return Array(buffer.readableBytesView)
        case .unknown: return []
        }
    }

    /// The length in bytes; `nil` if the body is not known.
    var length: Int? {
        switch self {
        case .text(let text): text.utf8.count
        case .secret(let token): token.exposed.utf8.count
        case .document(let document): document.length
        case .unknown: nil
        }
    }
}
