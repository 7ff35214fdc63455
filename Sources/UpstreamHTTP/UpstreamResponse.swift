package import NIOHTTP1

/// A complete answer of an upstream: whatever its status, all of its body.
package struct UpstreamResponse: Sendable {
    package var status: Int
    package var headers: HTTPHeaders
    package var body: [UInt8]

    package init(status: Int, headers: HTTPHeaders = [:], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    package var isSuccess: Bool { (200..<300).contains(status) }

    /// The time at which the upstream answered, by its own clock. An expiry in the same answer is measured against it,
    /// so that a wrong clock on the node changes no lifetime. `nil`: no `Date`, or one that is none.
    package var date: UnixInstant? {
        headers.first(name: "date").flatMap(UnixInstant.init(httpDate:))
    }

    /// The longest `Retry-After` that is believed: no upstream can silence a pod for longer than 5 minutes.
    package static let retryAfterLimit = Duration.seconds(300)

    /// `Retry-After` (RFC 9110 section 10.2.3), seconds or an HTTP date, at most ``retryAfterLimit``.
    package func retryAfter(now: UnixInstant = .now()) -> Duration? {
        guard let value = headers.first(name: "retry-after") else { return nil }
        if !value.isEmpty, value.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) {
            return min(.seconds(Int(value) ?? .max / 2), Self.retryAfterLimit)
        }
        guard let then = UnixInstant(httpDate: value) else { return nil }
        return min(max(then - (date ?? now), .zero), Self.retryAfterLimit)
    }

    /// The first words of a body that should have been JSON: a proxy's error page, usually.
    package var bodyText: String { UpstreamText.clean(body, limit: 200) }
}
