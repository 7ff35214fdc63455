package import NIOCore

/// One HTTP answer of a server of the lab.
package struct LabResponse: Sendable {
    /// The part that follows the header.
    package enum Body: Sendable {
        /// Sent with a `Content-Length`.
        case bytes(ByteBuffer)
        /// Sent in chunks for as long as the closure runs. The closure is cancelled when the client goes away; its
        /// return ends the body cleanly, and so does an error.
        case stream(@Sendable (LabBodyWriter) async throws -> Void)
    }

    package var status: Int
    /// The fields besides `Content-Length`, `Transfer-Encoding`, `Connection` and `Date`, which the server writes.
    package var headers: [(name: String, value: String)]
    package var body: Body
    /// The user that the handler took the caller for, for the request log.
    package var user: String?

    package init(
        status: Int,
        headers: [(name: String, value: String)] = [],
        body: Body = .bytes(ByteBuffer()),
        user: String? = nil
    ) {
        self.status = status
        self.headers = headers
        self.body = body
        self.user = user
    }

    /// An answer with a text body.
    package static func text(
        _ status: Int,
        _ body: String,
        contentType: String = "text/plain; charset=utf-8",
        headers: [(name: String, value: String)] = []
    ) -> LabResponse {
        LabResponse(
            status: status,
            headers: [("Content-Type", contentType)] + headers,
            body: .bytes(ByteBuffer(string: body))
        )
    }

    /// An answer with a JSON body.
    package static func json(
        _ status: Int,
        _ body: JSON,
        headers: [(name: String, value: String)] = []
    ) -> LabResponse {
        .text(status, body.text, contentType: "application/json", headers: headers)
    }
}

/// Writes the chunks of a streamed body.
package struct LabBodyWriter: Sendable {
    private let outbound: @Sendable (ByteBuffer) async throws -> Void

    package init(_ outbound: @escaping @Sendable (ByteBuffer) async throws -> Void) {
        self.outbound = outbound
    }

    /// Sends `bytes` as one chunk at once. Throws when the connection is gone.
    package func write(_ bytes: ByteBuffer) async throws {
        guard bytes.readableBytes > 0 else { return }
        var chunk = ByteBuffer(string: String(bytes.readableBytes, radix: 16) + "\r\n")
        chunk.writeImmutableBuffer(bytes)
        chunk.writeStaticString("\r\n")
        try await outbound(chunk)
    }
}
