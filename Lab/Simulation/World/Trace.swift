/// The record of one simulation: every event as a line, and a checksum over all of them (FNV-1a, 64 bits).
package struct Trace: Sendable {
    private struct Line {
        var microseconds: Int64
        var text: String

        var whole: String { "\(microseconds) \(text)" }
    }

    package private(set) var checksum: UInt64 = 0xcbf2_9ce4_8422_2325
    package private(set) var count = 0
    /// The latest lines, for the report of a violation.
    private var latest: [Line] = []
    private let keeps: Int
    private let prints: Bool

    package init(keeping keeps: Int = 40, printing prints: Bool = false) {
        self.keeps = keeps
        self.prints = prints
    }

    package mutating func note(_ nanoseconds: Int64, _ text: String) {
        let line = Line(microseconds: nanoseconds / 1000, text: text)
        add(number: line.microseconds)
        add(byte: UInt8(ascii: " "))
        let bytes = text.utf8Span.span
        for index in bytes.indices { add(byte: bytes[index]) }
        count += 1
        if prints { print(line.whole) }
        latest.append(line)
        if latest.count >= 16 * keeps { latest.removeFirst(latest.count - keeps) }
    }

    private mutating func add(byte: UInt8) {
        checksum = (checksum ^ UInt64(byte)) &* 0x100_0000_01b3
    }

    /// Adds the digits of a number that is not negative.
    private mutating func add(number: Int64) {
        if number >= 10 { add(number: number / 10) }
        add(byte: UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number % 10))
    }

    package var tail: [String] { latest.suffix(keeps).map(\.whole) }

    /// The checksum as 16 hexadecimal digits.
    package var digest: String {
        let digits = String(checksum, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }
}
