/// The record of one simulation: every event as a line, and a checksum over all of them (FNV-1a, 64 bits).
package struct Trace: Sendable {
    package private(set) var checksum: UInt64 = 0xcbf2_9ce4_8422_2325
    package private(set) var count = 0
    /// The latest lines, for the report of a violation.
    package private(set) var latest: [String] = []
    private let keeps: Int
    private let prints: Bool

    package init(keeping keeps: Int = 40, printing prints: Bool = false) {
        self.keeps = keeps
        self.prints = prints
    }

    package mutating func note(_ nanoseconds: Int64, _ text: String) {
        let line = "\(nanoseconds / 1000) \(text)"
        for byte in line.utf8 {
            checksum = (checksum ^ UInt64(byte)) &* 0x100_0000_01b3
        }
        count += 1
        if prints { print(line) }
        latest.append(line)
        if latest.count >= 2 * keeps { latest.removeFirst(latest.count - keeps) }
    }

    package var tail: [String] { latest.suffix(keeps) }

    /// The checksum as 16 hexadecimal digits.
    package var digest: String {
        let digits = String(checksum, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }
}
