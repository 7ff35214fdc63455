package import NIOHTTP1

/// A request to a listener for operators.
package struct EndpointRequest: Sendable, Equatable {
    /// The path as sent, without the query.
    package var path: String
    /// The part after the first `?`.
    package var query: String?
    /// The `Accept` fields, joined as one list.
    package var accept: String

    package init(path: String, query: String? = nil, accept: String = "") {
        self.path = path
        self.query = query
        self.accept = accept
    }
}

/// An answer of a listener for operators.
package struct EndpointResponse: Sendable, Equatable {
    package var status: HTTPResponseStatus
    package var contentType: String
    package var body: [UInt8]

    package init(_ status: HTTPResponseStatus, contentType: String, body: [UInt8]) {
        self.status = status
        self.contentType = contentType
        self.body = body
    }

    /// One line of plain text.
    package static func text(_ status: HTTPResponseStatus, _ text: String) -> EndpointResponse {
        EndpointResponse(status, contentType: "text/plain; charset=utf-8", body: Array("\(text)\n".utf8))
    }
}
