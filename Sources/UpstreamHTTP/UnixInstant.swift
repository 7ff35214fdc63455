import FoundationEssentials

/// A point of wall-clock time, as upstreams write it: for measuring what remains of a token, never for waiting.
package struct UnixInstant: Sendable, Hashable, Comparable {
    /// The time since 1970-01-01T00:00:00Z, without leap seconds.
    package var sinceEpoch: Duration

    package init(sinceEpoch: Duration) {
        self.sinceEpoch = sinceEpoch
    }

    package init(seconds: Int64) {
        self.init(sinceEpoch: .seconds(seconds))
    }

    /// This machine's clock.
    package static func now() -> UnixInstant {
        UnixInstant(sinceEpoch: .milliseconds(Int64(Date().timeIntervalSince1970 * 1000)))
    }

    package static func < (left: UnixInstant, right: UnixInstant) -> Bool { left.sinceEpoch < right.sinceEpoch }
    package static func - (left: UnixInstant, right: UnixInstant) -> Duration { left.sinceEpoch - right.sinceEpoch }
}

extension UnixInstant {
    /// RFC 3339 section 5.6, strictly: `2026-11-21T00:43:39Z`, up to nine digits of fraction, `Z` or an offset.
    package init?(rfc3339 text: String) {
        var reader = FieldReader(text)
        guard let year = reader.number(4), reader.skip("-"), let month = reader.number(2), reader.skip("-"),
            let day = reader.number(2), reader.skip("T"), let time = reader.timeOfDay()
        else { return nil }
        var fraction = Duration.zero
        if reader.skip(".") {
            guard let nanoseconds = reader.fraction() else { return nil }
            fraction = .nanoseconds(nanoseconds)
        }
        var offset: Int64 = 0
        if !reader.skip("Z") {
            let sign: Int64
            if reader.skip("+") { sign = 1 } else if reader.skip("-") { sign = -1 } else { return nil }
            guard let hours = reader.number(2), hours < 24, reader.skip(":"), let minutes = reader.number(2),
                minutes < 60
            else { return nil }
            offset = sign * (hours * 3600 + minutes * 60)
        }
        guard reader.isAtEnd, let days = Self.days(year: year, month: month, day: day) else { return nil }
        self.init(sinceEpoch: .seconds(days * 86_400 + time - offset) + fraction)
    }

    /// RFC 9110 section 5.6.7, the one form that senders may generate: `Sun, 06 Nov 1994 08:49:37 GMT`.
    package init?(httpDate text: String) {
        var reader = FieldReader(text)
        guard reader.name(of: ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]) != nil, reader.skip(", "),
            let day = reader.number(2), reader.skip(" "),
            let month = reader.name(
                of: ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
            ),
            reader.skip(" "), let year = reader.number(4), reader.skip(" "), let time = reader.timeOfDay(),
            reader.skip(" GMT"), reader.isAtEnd,
            let days = Self.days(year: year, month: Int64(month) + 1, day: day)
        else { return nil }
        self.init(seconds: days * 86_400 + time)
    }

    /// Days from 1970-01-01 to a date of the Gregorian calendar; `nil` for a date that does not exist.
    private static func days(year: Int64, month: Int64, day: Int64) -> Int64? {
        let isLeap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
        let lengths: [Int64] = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard year >= 1, (1...12).contains(month), (1...lengths[Int(month) - 1]).contains(day) else { return nil }
        let before = year - 1
        let leapDays = before / 4 - before / 100 + before / 400
        let dayOfYear = lengths[..<Int(month - 1)].reduce(0, +) + day - 1
        // 719,162 days lie between 0001-01-01 and 1970-01-01.
        return before * 365 + leapDays + dayOfYear - 719_162
    }
}

/// Reads fixed-width fields from the front of ASCII text.
private struct FieldReader {
    private var rest: Substring.UTF8View

    init(_ text: String) {
        self.rest = text[...].utf8
    }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func skip(_ text: StaticString) -> Bool {
        let expected = text.description.utf8
        guard rest.starts(with: expected) else { return false }
        rest = rest.dropFirst(expected.count)
        return true
    }

    mutating func number(_ width: Int) -> Int64? {
        let digits = rest.prefix(width)
        guard digits.count == width, digits.allSatisfy({ (48...57).contains($0) }) else { return nil }
        rest = rest.dropFirst(width)
        return digits.reduce(0) { $0 * 10 + Int64($1 - 48) }
    }

    /// One to nine digits, as nanoseconds.
    mutating func fraction() -> Int64? {
        let digits = rest.prefix { (48...57).contains($0) }
        guard (1...9).contains(digits.count) else { return nil }
        rest = rest.dropFirst(digits.count)
        let value = digits.reduce(0) { $0 * 10 + Int64($1 - 48) }
        return (digits.count..<9).reduce(value) { scaled, _ in scaled * 10 }
    }

    /// `HH:MM:SS`, as seconds of the day. A leap second (60) counts as the second after it.
    mutating func timeOfDay() -> Int64? {
        guard let hour = number(2), hour < 24, skip(":"), let minute = number(2), minute < 60, skip(":"),
            let second = number(2), second <= 60
        else { return nil }
        return hour * 3600 + minute * 60 + second
    }

    mutating func name(of names: [String]) -> Int? {
        guard let index = names.firstIndex(where: { rest.starts(with: $0.utf8) }) else { return nil }
        rest = rest.dropFirst(3)
        return index
    }
}
