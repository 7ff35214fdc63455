import NIOHTTP1
import Testing

@testable import UpstreamHTTP

@Suite("Wall-clock times of upstreams")
struct UnixInstantTests {
    @Test(
        "RFC 3339 times are read",
        arguments: [
            ("1970-01-01T00:00:00Z", Duration.zero),
            ("2026-11-21T00:43:39Z", .seconds(1_795_221_819)),
            ("2024-02-29T23:59:59Z", .seconds(1_709_251_199)),
            ("2026-11-21T00:43:39.5Z", .milliseconds(1_795_221_819_500)),
            ("2026-11-21T02:13:39.000000001+01:30", .seconds(1_795_221_819) + .nanoseconds(1)),
            ("1969-12-31T23:59:59-00:00", .seconds(-1)),
        ]
    )
    func rfc3339(text: String, expected: Duration) {
        #expect(UnixInstant(rfc3339: text)?.sinceEpoch == expected)
    }

    @Test(
        "What is almost RFC 3339 is refused",
        arguments: [
            "", "2026-11-21", "2026-11-21 00:43:39Z", "2026-11-21T00:43:39", "2026-11-21T00:43:39z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z", "2026-11-21T24:00:00Z", "2026-11-21T00:43:39.Z", "2026-11-21T00:43:39.1234567890Z",
            "2026-11-21T00:43:39Z ", "+2026-11-21T00:43:39Z", "2026-11-21T00:43:39+1:00", "٢٠٢٦-11-21T00:43:39Z",
        ]
    )
    func refusedRFC3339(text: String) {
        #expect(UnixInstant(rfc3339: text) == nil)
    }

    @Test("HTTP dates are read in the form that senders may use, and in no other")
    func httpDates() {
        #expect(UnixInstant(httpDate: "Sun, 06 Nov 1994 08:49:37 GMT") == UnixInstant(seconds: 784_111_777))
        #expect(UnixInstant(httpDate: "Sunday, 06-Nov-94 08:49:37 GMT") == nil)
        #expect(UnixInstant(httpDate: "Sun, 6 Nov 1994 08:49:37 GMT") == nil)
        #expect(UnixInstant(httpDate: "Sun, 31 Nov 1994 08:49:37 GMT") == nil)
    }

    @Test(
        "Retry-After is seconds or a date, and never more than its limit",
        arguments: [
            ("0", Duration.zero), ("7", .seconds(7)), ("86400", .seconds(300)),
            ("99999999999999999999999", .seconds(300)), ("-1", nil), ("soon", nil), ("", nil),
            ("Sun, 06 Nov 1994 08:50:07 GMT", .seconds(30)), ("Sun, 06 Nov 1994 08:49:07 GMT", .zero),
            ("Mon, 06 Nov 2094 08:49:07 GMT", .seconds(300)),
        ] as [(String, Duration?)]
    )
    func retryAfter(value: String, expected: Duration?) {
        let answer = UpstreamResponse(
            status: 503, headers: ["retry-after": value, "date": "Sun, 06 Nov 1994 08:49:37 GMT"]
        )
        #expect(answer.retryAfter() == expected)
        #expect(UpstreamResponse(status: 503).retryAfter() == nil)
    }
}
