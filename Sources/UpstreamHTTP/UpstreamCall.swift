package import NIOCore
package import NIOHTTP1
package import NIOSSL

/// One request to an upstream, complete before it is sent.
package struct UpstreamCall: Sendable {
    package var method: HTTPMethod
    package var url: String
    package var headers: HTTPHeaders
    package var body: ByteBuffer?
    /// Selects the connection pool: two calls with different client certificates never share a connection. `nil`: the
    /// client's own.
    package var tlsConfiguration: TLSConfiguration?
    /// The time from the start of the call to the last byte of the answer. `nil`: the client's default.
    package var timeout: Duration?
    /// The answer's body in bytes, at most.
    package var bodyLimit: Int

    /// The most bytes of an answer that is one JSON object: every one we read is far smaller.
    package static let jsonBodyLimit = 1 << 20

    package init(
        _ method: HTTPMethod,
        _ url: String,
        headers: HTTPHeaders = [:],
        body: ByteBuffer? = nil,
        tlsConfiguration: TLSConfiguration? = nil,
        timeout: Duration? = nil,
        bodyLimit: Int = UpstreamCall.jsonBodyLimit
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.tlsConfiguration = tlsConfiguration
        self.timeout = timeout
        self.bodyLimit = bodyLimit
    }
}
