import Foundation
import Logging
import Operations
import Synchronization
import Testing

@Suite struct LineLogHandlerTests {
    private final class Lines: Sendable {
        let bytes = Mutex<[[UInt8]]>([])
    }

    /// The text that a logger of `format` writes.
    private func written(_ format: LogFormat, _ log: (inout Logger) -> Void) -> [[UInt8]] {
        let lines = Lines()
        var logger = Logger(label: "test") { label in
            LineLogHandler(label: label, format: format) { line in lines.bytes.withLock { $0.append(line) } }
        }
        log(&logger)
        return lines.bytes.withLock { $0 }
    }

    /// Every control byte, quotes, a backslash, line ends of other alphabets, a change of direction, an emoji.
    private static let hostile =
        String(String.UnicodeScalarView((0..<0x20).compactMap { Unicode.Scalar($0) }))
        + "\u{7f}\u{85}\u{2028}\u{2029}\u{202e}\u{feff}\"\\'{}\u{1f600}\u{e000}é"

    @Test("a record is one line of one valid JSON object, whatever is in it")
    func json() throws {
        let lines = written(.json) { logger in
            logger[metadataKey: "pod"] = "web"
            logger.info(
                "m\(Self.hostile)",
                metadata: [
                    Self.hostile: "\(Self.hostile)", "list": ["a", ["b": "\n"]], "number": .stringConvertible(7),
                ])
        }
        try #require(lines.count == 1)
        let line = lines[0]
        #expect(line.last == UInt8(ascii: "\n") && !line.dropLast().contains { $0 < 0x20 || $0 == 0x7f })
        let object = try #require(try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any])
        #expect(Set(object.keys) == ["time", "level", "logger", "source", "message", "fields"])
        #expect(object["message"] as? String == "m" + Self.hostile)
        #expect(object["level"] as? String == "info" && object["logger"] as? String == "test")
        let fields = try #require(object["fields"] as? [String: Any])
        #expect(fields[Self.hostile] as? String == Self.hostile)
        #expect(fields["pod"] as? String == "web" && fields["number"] as? String == "7")
        #expect((fields["list"] as? [Any])?.count == 2)
    }

    @Test("a record of text is one line that steers no terminal, whatever is in it")
    func text() throws {
        let lines = written(.text) { $0.warning("m\(Self.hostile)", metadata: ["k\u{1b}": "\(Self.hostile)"]) }
        try #require(lines.count == 1)
        let line = String(decoding: lines[0], as: UTF8.self)
        #expect(line.hasSuffix("\n") && line.contains(" warning test: k\\u001b="))
        #expect(!line.dropLast().unicodeScalars.contains { $0.value < 0x20 || (0x7f...0x9f).contains($0.value) })
        #expect(!line.unicodeScalars.contains { [0x2028, 0x2029, 0x202e, 0xfeff].contains($0.value) })
        #expect(line.contains("\u{1f600}") && line.contains("\\u000a"))
    }

    @Test("an error and a record's own metadata are fields; a record below the level is none")
    func fields() throws {
        struct Problem: Error {}
        let lines = written(.json) { logger in
            logger.debug("not this")
            logger.error("this", error: Problem(), metadata: ["a": "1"])
        }
        try #require(lines.count == 1)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(lines[0])) as? [String: Any])
        let fields = try #require(object["fields"] as? [String: String])
        #expect(fields["error"] == "Problem()" && fields["a"] == "1")
    }
}
