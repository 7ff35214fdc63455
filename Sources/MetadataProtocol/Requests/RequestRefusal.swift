/// Why a request is refused, from every sender.
package enum RequestRefusal: Error, Sendable, Hashable {
    /// The request is not HTTP/1, or not unambiguous HTTP/1. The text says what is wrong.
    case malformed(String)
    /// A query parameter with a value that it cannot have.
    case badQuery(String)
    /// The request carries `X-Forwarded-For`, `Forwarded` or `Via`: a proxy sends another client's request on.
    case forwarded
    /// `Host` is no name of a metadata server: DNS rebinding looks like this.
    case unknownHost
    case methodNotAllowed
    case notFound
    /// Each bound is named in the answer.
    case requestTargetTooLong(limit: Int)
    case headersTooLarge(bytes: Int, fields: Int)
    case bodyTooLarge(limit: Int)
    case requestTimedOut
    /// No answer was found in time.
    case answerTimedOut
    case tooManyConnections(limit: Int)
    /// A refusal in the words of one room.
    case room(RoomRefusal)
}

/// A refusal that a room words itself.
package struct RoomRefusal: Sendable, Hashable {
    package var status: Response.Status
    package var cause: RefusalCause
    package var text: String

    package init(_ status: Response.Status, _ cause: RefusalCause, _ text: String) {
        self.status = status
        self.cause = cause
        self.text = text
    }
}
