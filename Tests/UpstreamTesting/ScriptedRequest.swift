package import NIOHTTP1

/// One request as the scripted server received it.
package struct ScriptedRequest: Sendable {
    package var method: HTTPMethod
    /// Path and query, as sent.
    package var target: String
    package var headers: HTTPHeaders
    package var body: [UInt8]
    /// Serial number of the client's certificate; empty without one.
    package var clientSerial: [UInt8]
    /// Counts connections from 1: two requests with the same number shared one.
    package var connection: Int

    package var path: String { String(target.prefix { $0 != "?" }) }
    package var query: [Substring] { target.drop { $0 != "?" }.dropFirst().split(separator: "&") }
    package var text: String { String(decoding: body, as: UTF8.self) }
}

/// The server's reaction to a request.
package enum ScriptedReply: Sendable {
    case answer(Int, headers: HTTPHeaders = [:], String)
    /// A chunked 200 whose chunks arrive as the test sends them.
    case stream(AsyncStream<StreamPart>)
    /// Bytes that need not be HTTP, then close.
    case raw(String)
    /// No answer, ever.
    case hang
    /// Closes the connection without a byte.
    case close

    package enum StreamPart: Sendable {
        case text(String)
        /// Closes in the middle of the body.
        case cut
    }

    /// A stream of `lines` that ends cleanly.
    package static func lines(_ lines: String...) -> ScriptedReply {
        .stream(
            AsyncStream { continuation in
                for line in lines { continuation.yield(.text(line + "\n")) }
                continuation.finish()
            }
        )
    }

    /// A stream that the test feeds.
    package static func openStream() -> (ScriptedReply, AsyncStream<StreamPart>.Continuation) {
        let (stream, continuation) = AsyncStream<StreamPart>.makeStream()
        return (.stream(stream), continuation)
    }
}
