/// How a call of the Workload API ends.
package struct GRPCStatus: Error, Sendable, Hashable {
    /// The codes of gRPC that this endpoint uses.
    package enum Code: Int, Sendable, Hashable, CaseIterable {
        case ok = 0
        case invalidArgument = 3
        case permissionDenied = 7
        case resourceExhausted = 8
        case unimplemented = 12
        case unavailable = 14
    }

    package var code: Code
    package var message: String

    package init(_ code: Code, _ message: String = "") {
        self.code = code
        self.message = message
    }

    static let ok = GRPCStatus(.ok)
    /// The refusal in the words of SPIRE, which clients' users know.
    static let noSecurityHeader = GRPCStatus(.invalidArgument, "security header missing from request")
    static let malformed = GRPCStatus(.invalidArgument, "the request is not the message that the method takes")
    static let compressed = GRPCStatus(.unimplemented, "compressed messages are not served here")
    static let late = GRPCStatus(.unavailable, "the request did not arrive in time")
    static let draining = GRPCStatus(.unavailable, "the agent restarts; ask again")
    static let unread = GRPCStatus(.resourceExhausted, "the client does not read its stream")
    static let budget = GRPCStatus(.resourceExhausted, "the pod's requests take too much memory")
    static let streamLimit = GRPCStatus(.resourceExhausted, "the pod has too many open streams")

    static func tooLong(_ limit: Int) -> GRPCStatus {
        GRPCStatus(.resourceExhausted, "a message may have at most \(limit) bytes")
    }

    /// A final no. Clients of Rust look for the first words.
    static func noIdentity(_ reason: String) -> GRPCStatus {
        GRPCStatus(.permissionDenied, "no identity issued: \(reason)")
    }

    /// The message as it travels in a header: percent-encoded (gRPC over HTTP/2, "Percent-Encoded").
    var encodedMessage: String {
        var text = ""
        for byte in message.utf8 {
            if (0x20...0x7e).contains(byte), byte != UInt8(ascii: "%") {
                text.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                text += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        return text
    }
}
