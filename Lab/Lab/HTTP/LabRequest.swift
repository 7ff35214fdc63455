package import Foundation
package import NIOCore
package import NIOHTTP1

/// One HTTP request as a server of the lab received it.
package struct LabRequest: Sendable {
    /// `GET`, `POST` and so on.
    package var method: String
    /// The request target as sent, query included.
    package var target: String
    package var headers: HTTPHeaders
    /// The whole body, at most 1 MiB.
    package var body: ByteBuffer
    /// The client's certificate in DER, of any signer; `nil` over plain TCP or if none was offered.
    package var clientCertificate: [UInt8]?
    /// The number of the server's connection, counted from 1.
    package var connection: Int
    /// The time at which its head had been read.
    package var received: Date

    package init(
        method: String,
        target: String,
        headers: HTTPHeaders = [:],
        body: ByteBuffer = ByteBuffer(),
        clientCertificate: [UInt8]? = nil,
        connection: Int = 0,
        received: Date = Date()
    ) {
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.clientCertificate = clientCertificate
        self.connection = connection
        self.received = received
    }

    /// The target up to the query, still percent-encoded.
    package var path: String {
        String(target.prefix { $0 != "?" })
    }

    /// The query's pairs in order, decoded; `+` means a space.
    package var query: [(name: String, value: String)] {
        guard let mark = target.firstIndex(of: "?") else { return [] }
        return FormEncoding.decode(target[target.index(after: mark)...])
    }

    /// The first query value of `name`.
    package func query(_ name: String) -> String? {
        query.first { $0.name == name }?.value
    }

    /// The first header field of `name`, in any case.
    package func header(_ name: String) -> String? {
        headers.first(name: name)
    }

    /// The credential of an `Authorization: Bearer` header.
    package var bearerToken: String? {
        guard let value = headers.first(name: "Authorization") else { return nil }
        let parts = value.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else { return nil }
        return String(parts[1])
    }

    /// The body as text; bytes that are not UTF-8 are replaced.
    package var bodyText: String {
        String(buffer: body)
    }
}

/// One answered request, for assertions.
package struct LabRequestRecord: Sendable {
    /// The time at which the answer was about to be written.
    package var time: Date
    package var request: LabRequest
    /// The user that the emulator took the caller for; `nil`: none.
    package var user: String?
    /// The answer's status; `nil` when a fault kept the server from answering.
    package var status: Int?

    package var method: String { request.method }
    package var path: String { request.path }
}

/// `application/x-www-form-urlencoded`, as in bodies and query strings.
package enum FormEncoding {
    /// The pairs of `text` in order. A pair without `=` has an empty value; broken percent escapes stay as they are.
    package static func decode(_ text: some StringProtocol) -> [(name: String, value: String)] {
        text.split(separator: "&").map { pair in
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (decodeComponent(parts[0]), parts.count > 1 ? decodeComponent(parts[1]) : "")
        }
    }

    private static func decodeComponent(_ text: some StringProtocol) -> String {
        let spaced = String(text.map { $0 == "+" ? " " : $0 })
        return spaced.removingPercentEncoding ?? spaced
    }
}
