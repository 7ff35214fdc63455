import NIOCore
import Testing

@testable import GoogleMetadata
@testable import MetadataProtocol
@testable import MetadataServer

@Suite struct ValueTests {
    @Test func `a recursive answer never holds a credential`() throws {
        let account = try ServiceAccountView(TestPod.p1.account, configuration: .test)
        let value = MetadataTree.directory(of: account)
        #expect(
            value.json == """
                {"aliases":["default"],"email":"gsa@p.iam.gserviceaccount.com",\
                "scopes":["https://www.googleapis.com/auth/cloud-platform",\
                "https://www.googleapis.com/auth/userinfo.email"]}
                """)
        #expect(
            value.recursiveText == """
                aliases/0 default
                email gsa@p.iam.gserviceaccount.com
                scopes/0 https://www.googleapis.com/auth/cloud-platform
                scopes/1 https://www.googleapis.com/auth/userinfo.email

                """)
    }

    @Test(arguments: [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"), (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
        (1_709_251_200, "Fri, 01 Mar 2024 00:00:00 GMT"), (4_102_444_800, "Fri, 01 Jan 2100 00:00:00 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
    ])
    func `dates are written as HTTP wants them`(_ seconds: Int, _ text: String) {
        #expect(DateHeader.format(seconds) == text)
    }

    @Test func `the date is formatted when the second changes, and not before`() {
        var calls = 0
        let date = DateHeader(secondsSince1970: {
            calls += 1
            return 784_111_777.75 + Double(calls - 1)
        })
        let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
        let first = date.value(at: start)
        #expect(date.value(at: start + .milliseconds(249)) == first)
        #expect(calls == 1)
        #expect(date.value(at: start + .milliseconds(250)) == "Sun, 06 Nov 1994 08:49:38 GMT")
        #expect(calls == 2)
    }

    @Test(arguments: [
        "169.254.169.254", "169.254.169.254:80", "metadata.google.internal", "Metadata.Google.Internal.",
        "metadata.google.internal.:80", "metadata", "metadata.goog", "fd20:ce::254", "[fd20:ce::254]",
        "[FD20:CE::254]:80", "metadata.goog:8080", "metadata:",
    ])
    func `a metadata server's names are accepted as hosts`(_ host: String) {
        #expect(GoogleMetadataRoom.hostNames.accepts(host))
    }

    @Test(arguments: [
        "", ".", ":80", "evil.example", "node-a.example", "metadata.google.internal.evil.example", "user@metadata",
        "metadata:80:80",
        "metadata:x", "metadata..", "[169.254.169.254", "[fd20:ce::254]x", "[fd20:ce::254]:x", "127.0.0.1",
        "169.254.169.254 ", "metadata/", "[]", "\u{212a}",
    ])
    func `any other host is refused`(_ host: String) {
        #expect(!GoogleMetadataRoom.hostNames.accepts(host))
    }

    @Test func `entity tags follow the content`() {
        #expect(EntityTag.of("a") == EntityTag.of("a"))
        #expect(EntityTag.of("a") != EntityTag.of("b"))
        #expect(EntityTag.of("").utf8.count == 16)
    }
}
