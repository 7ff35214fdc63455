import Testing

@testable import Enforcement

@Suite struct OwnConnectionTests {
    @Test(
        "an answer counts when all of it is there, and only then",
        arguments: [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
                OwnConnection.Answer.complete(status: 200, body: "abc")
            ),
            ("HTTP/1.1 503 X\r\nA: b\r\ncontent-length:2\r\n\r\nnone", .complete(status: 503, body: "no")),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", .incomplete),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", .incomplete),
            ("HTTP/1.1 200 OK\r\n\r\nabc", .incomplete),
            ("", .incomplete),
            // The length counts bytes.
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\né€", .complete(status: 200, body: "é")),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc", .broken),
            ("SSH-2.0-x\r\n\r\n", .broken),
            ("HTTP/1.1 abc\r\n\r\n", .broken),
        ])
    func parse(_ text: String, _ answer: OwnConnection.Answer) {
        #expect(OwnConnection.parse([UInt8](text.utf8)[...]) == answer)
    }

    @Test("the request names the address, without the form that only sockets know")
    func request() {
        for (address, host) in [
            ("169.254.169.254", "169.254.169.254"), ("::ffff:169.254.169.254", "169.254.169.254"),
            ("fd20:ce::254", "[fd20:ce::254]"),
        ] {
            let text = String(decoding: OwnConnection.request(to: address), as: UTF8.self)
            #expect(text.hasPrefix("GET /podidentd/v1/pod-uid HTTP/1.1\r\nHost: \(host)\r\n"))
            #expect(text.hasSuffix("\r\n\r\n"))
        }
    }
}
