import Fuzzing
import Testing

@testable import UpstreamHTTP

@Suite("Text from and for upstreams")
struct TextTests {
    @Test(
        "Error texts lose control characters, invisible characters and tokens",
        arguments: [
            ("plain text", "plain text"),
            ("  two\r\nlines\t\u{0}\u{7F}here ", "two lines here"),
            ("right\u{202E}left\u{2028}line\u{9B}csi", "right left line csi"),
            ("token eyJhbGciOi.eyJzdWIi.c2ln-_x is stale", "token [redacted] is stale"),
            ("\"ya29.c.abc-DEF_1\"", "\"[redacted]\""),
            ("a monkeyJoke stays", "a monkeyJoke stays"),
            ("", ""),
        ]
    )
    func clean(text: String, expected: String) {
        #expect(UpstreamText.clean(text) == expected)
    }

    /// Upstreams' words go through this on their way into refusals, Events, audit records and views.
    @Test("No error text holds a credential, as text, as bytes, or cut", arguments: CredentialForms.all)
    func credentials(_ form: CredentialForms.Form) {
        for text in [UpstreamText.clean(form.text), UpstreamText.clean(Array(form.text.utf8))] {
            #expect(!text.contains(form.secret) && text.contains("[redacted]"), "\(text)")
        }
        let cut = UpstreamText.clean("\(form.text) \(form.text)", limit: form.text.utf8.count)
        #expect(!cut.contains(form.secret), "\(cut)")
    }

    @Test("Error texts are cut at their limit, between characters")
    func cut() {
        let text = UpstreamText.clean(String(repeating: "ä", count: 5000))
        #expect(text.utf8.count <= UpstreamText.limit)
        #expect(text.hasSuffix("ä..."))
        #expect(UpstreamText.clean([0xFF, 0xFE, 0x41]) == "\u{FFFD}\u{FFFD}A")
    }

    @Test("Percent-encoding leaves nothing that is syntax")
    func percentEncoding() {
        #expect(PercentEncoding.encode("aZ09-._~") == "aZ09-._~")
        #expect(PercentEncoding.encode("a b/c?d#e&f=g+h%i@j:ä") == "a%20b%2Fc%3Fd%23e%26f%3Dg%2Bh%25i%40j%3A%C3%A4")
        #expect(PercentEncoding.form(["a": "1 2", "b&": "="]) == "a=1%202&b%26=%3D")
        #expect([".", "..", "", "a/b"].map(PercentEncoding.segment) == [nil, nil, nil, "a%2Fb"])
    }

    @Test("Tokens of any length that exists are plausible, and nothing that breaks a header is")
    func plausibleTokens() {
        #expect(isPlausibleToken(String(repeating: "a", count: 12_288)))
        #expect(!isPlausibleToken(String(repeating: "a", count: 16_385)))
        for text in ["", "a b", "a\r\nb", "a\"b", "ä"] { #expect(!isPlausibleToken(text)) }
    }
}
