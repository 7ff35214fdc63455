import Foundation
import Testing
import Text

@Suite struct TextTests {
    @Test func `what a terminal could obey is replaced, and what is only seen stays`() {
        let text = "a\u{1b}[2J\u{7f}\u{9b}\u{202e}\u{e000}\u{2028}é 漢 … ✓"
        #expect(VisibleText.line(text) == "a\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}é 漢 … ✓")
        #expect(VisibleText.name(text) == "a\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}é 漢 \u{fffd} \u{fffd}")
        #expect(VisibleText.lines([UInt8]("a\rb\n\nc\u{1b}".utf8)) == "a\u{fffd}b\n\nc\u{fffd}")
        #expect(VisibleText.lines([0xff, 0x61]) == "\u{fffd}a")
    }

    @Test func `one is no plural`() {
        #expect([0, 1, 2].map { counted($0, "pod") } == ["0 pods", "1 pod", "2 pods"])
    }

    @Test func `controls become spaces, byte by byte`() {
        #expect(VisibleText.blankingControls("a\r\n\u{7f}é<b>", and: "<>") == "a   é b ")
    }

    @Test func `a quoted text is what JSON reads back, on one line`() throws {
        let every = String(String.UnicodeScalarView((0...0x2fff).compactMap(Unicode.Scalar.init))) + "\u{1f512}\"\\"
        var quoted = ""
        quoted.appendQuoted(every) { !$0.isVisible }
        #expect(try JSONDecoder().decode(String.self, from: Data(quoted.utf8)) == every)
        let isVisible = quoted.unicodeScalars.allSatisfy { $0.isVisible }
        #expect(isVisible)
        var plain = ""
        plain.appendQuoted(every)
        #expect(try JSONDecoder().decode(String.self, from: Data(plain.utf8)) == every)
        let controls = plain.utf8.filter { $0 < 0x20 }
        #expect(plain.unicodeScalars.contains("\u{7f}") && controls.isEmpty)
    }

    @Test func `short escapes, numbers, and characters beyond the first plane`() {
        var text = ""
        text.appendQuoted("\n\r\t\u{1}\u{7f}\u{1f512}") { $0.value > 0x7e }
        #expect(text == #""\n\r\t\u0001\u007f\ud83d\udd12""#)
        var plain = ""
        plain.appendQuoted("a\"b\\c\n\r\t\u{1}\u{1f}\u{7f}é/")
        #expect(plain == #""a\"b\\c\n\r\t\u0001\u001f"# + "\u{7f}é/\"")
    }

    @Test(
        arguments: [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
            as [(String, UInt64)])
    func `the hash is FNV-1a's`(text: String, hash: UInt64) {
        #expect(text.stableHash == hash)
    }
}
