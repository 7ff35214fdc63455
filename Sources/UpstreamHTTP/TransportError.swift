import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
package import Tokens

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Why there is no answer, or not a whole one.
package struct TransportError: Error, Sendable, Hashable, CustomStringConvertible {
    package enum Cause: Sendable, Hashable {
        case connectionRefused
        /// The deadline of the call, or the one for connecting, passed.
        case timedOut
        case noRoute
        case nameNotResolved
        /// The handshake failed, or the peer ended the session: the reason in OpenSSL's words.
        case tls(String)
        /// Closed or reset before the answer was complete.
        case connectionClosed
        /// An open stream brought no byte for as long as its silence may last.
        case silent
        /// A body, or one line of a stream, longer than its limit in bytes.
        case tooLarge(limit: Int)
        /// The caller gave up.
        case cancelled
        case other(String)
    }

    package var cause: Cause

    package init(_ cause: Cause) {
        self.cause = cause
    }

    package var description: String {
        switch cause {
        case .connectionRefused: "connection refused"
        case .timedOut: "timed out"
        case .noRoute: "no route to host"
        case .nameNotResolved: "host name not resolved"
        case .tls(let reason): "TLS: \(reason)"
        case .connectionClosed: "connection closed"
        case .silent: "no byte for too long"
        case .tooLarge(let limit): "answer larger than \(limit) bytes"
        case .cancelled: "cancelled"
        case .other(let text): text
        }
    }

    /// The failure that the token service sees: always transient, because no upstream said no.
    package func failure(of upstream: UpstreamFailure.Upstream, at host: String) -> UpstreamFailure {
        UpstreamFailure(upstream: upstream, kind: .unavailable, message: "\(host): \(description)")
    }
}

extension TransportError {
    /// Sorts an error of the HTTP client, of NIO or of the TLS library.
    package init(_ error: any Error) {
        self.init(Self.cause(of: error))
    }

    private static func cause(of error: any Error) -> Cause {
        switch error {
        case let error as TransportError: error.cause
        case is CancellationError: .cancelled
        case let error as HTTPClientError: cause(of: error)
        case let error as NIOConnectionError:
            error.connectionErrors.first.map { cause(of: $0.error) } ?? .nameNotResolved
        case let error as IOError: cause(ofErrno: error.errnoCode)
        case HTTPParserError.invalidEOFState: .connectionClosed
        case is HTTPParserError: .other("not HTTP")
        case ChannelError.connectTimeout: .timedOut
        case is ChannelError: .connectionClosed
        // The peer went away before it said a word of TLS: nothing is wrong with anybody's certificate.
        case NIOSSLError.handshakeFailed(.sslError(let stack)) where stack.contains(.eofDuringHandshake):
            .connectionClosed
        case NIOSSLError.handshakeFailed(let reason): .tls(opensslReason(reason))
        case NIOSSLError.uncleanShutdown: .connectionClosed
        case let error as NIOSSLExtraError where error == .failedToValidateHostname:
            .tls(UpstreamHTTPClient.wrongName)
        case is NIOSSLError, is NIOSSLExtraError, is BoringSSLError: .tls(opensslReason(error))
        default: .other(UpstreamText.clean(String(describing: error), limit: 160))
        }
    }

    private static func cause(of error: HTTPClientError) -> Cause {
        switch error {
        case .deadlineExceeded, .connectTimeout, .getConnectionFromPoolTimeout, .tlsHandshakeTimeout, .writeTimeout:
            .timedOut
        case .readTimeout: .silent
        case .remoteConnectionClosed, .uncleanShutdown: .connectionClosed
        case .cancelled, .requestStreamCancelled: .cancelled
        default: .other(error.shortDescription)
        }
    }

    private static func cause(ofErrno code: CInt) -> Cause {
        switch code {
        case ECONNREFUSED: .connectionRefused
        case ECONNRESET, EPIPE, ECONNABORTED, ENOTCONN: .connectionClosed
        case ETIMEDOUT: .timedOut
        case ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL: .noRoute
        default: .other("error \(code)")
        }
    }

    /// BoringSSL's name of the reason, such as `CERTIFICATE_VERIFY_FAILED`: its full text quotes source paths.
    private static func opensslReason(_ error: any Error) -> String {
        let text = String(describing: error)
        let reason = text.split(separator: "OPENSSL_internal:").dropFirst().first?.prefix {
            $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_")
        }
        return reason.map(String.init) ?? UpstreamText.clean(text, limit: 80)
    }
}
