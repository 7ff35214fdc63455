package import Tokens

/// One answer, before it has a connection to go to.
package struct Response: Sendable, Hashable {
    /// Every status that this server answers. Transient failures are 503 alone: it is the one that all clients retry.
    package enum Status: Int, Sendable, Hashable, CaseIterable {
        case ok = 200
        case movedPermanently = 301
        case badRequest = 400
        case unauthorized = 401
        case forbidden = 403
        case notFound = 404
        case methodNotAllowed = 405
        case requestTimeout = 408
        case contentTooLarge = 413
        case uriTooLong = 414
        case tooManyRequests = 429
        case requestHeaderFieldsTooLarge = 431
        case serviceUnavailable = 503

        /// RFC 9110, section 15.
        package var reasonPhrase: String {
            switch self {
            case .ok: "OK"
            case .movedPermanently: "Moved Permanently"
            case .badRequest: "Bad Request"
            case .unauthorized: "Unauthorized"
            case .forbidden: "Forbidden"
            case .notFound: "Not Found"
            case .methodNotAllowed: "Method Not Allowed"
            case .requestTimeout: "Request Timeout"
            case .contentTooLarge: "Content Too Large"
            case .uriTooLong: "URI Too Long"
            case .tooManyRequests: "Too Many Requests"
            case .requestHeaderFieldsTooLarge: "Request Header Fields Too Large"
            case .serviceUnavailable: "Service Unavailable"
            }
        }
    }

    /// Clients tell values from credentials by these, to the byte: no parameters on any but the last.
    package enum ContentType: String, Sendable, Hashable {
        case text = "application/text"
        case json = "application/json"
        /// The type of all that AWS writes.
        case plain = "text/plain"
        /// RFC 7519, section 10.3.1.
        case jwt = "application/jwt"
        case error = "text/plain; charset=utf-8"
    }

    /// How a protocol's server names itself.
    package struct Dialect: Sendable, Hashable {
        /// `Server`.
        package var server: String
        /// Whether answers carry `Metadata-Flavor`, by which clients know Google's.
        package var isGoogle = false

        package static let google = Dialect(server: "GKE Metadata Server", isGoogle: true)
        package static let plain = Dialect(server: "podidentd")

        package init(server: String, isGoogle: Bool = false) {
            self.server = server
            self.isGoogle = isGoogle
        }
    }

    /// A header field that only one protocol has.
    package struct Field: Sendable, Hashable {
        package var name: String
        package var value: String

        package init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    package enum Body: Sendable, Hashable {
        case text(String)
        /// A token: never printed, never stored by a cache on the way.
        case secret(SecretToken)
        /// A token in a JSON object, as secret.
        case document(TokenDocument)
        /// The body that a GET would have is not known, and a HEAD does not find out.
        case unknown
    }

    package var status: Status
    package var contentType: ContentType
    package var body: Body
    /// The entity tag of a value; unquoted, as Compute Engine writes it.
    package var etag: String?
    /// A path and query on this server.
    package var location: String?
    /// `Retry-After`, in seconds.
    package var retryAfter: Int?
    /// The cause of a refusal or failure; its text says it in words.
    package var cause: RefusalCause?
    /// Whether no other request is to come on this connection.
    package var closesConnection = false
    package var dialect = Dialect.google
    package var fields: [Field] = []
    /// The text of a refusal, where the body holds more than that.
    package var explanation: String?

    package init(
        _ status: Status,
        _ contentType: ContentType,
        _ body: Body,
        etag: String? = nil,
        location: String? = nil,
        retryAfter: Int? = nil
    ) {
        self.status = status
        self.contentType = contentType
        self.body = body
        self.etag = etag
        self.location = location
        self.retryAfter = retryAfter
    }
}
