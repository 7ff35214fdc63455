import FoundationEssentials
import NIOCore

/// The value of the `Date` header, formatted once a second.
///
/// One per event loop, which is why it needs no lock.
final class DateHeader {
    private let secondsSince1970: () -> Double
    private var text = ""
    private var formatsAgainAt = NIODeadline.distantPast

    init(secondsSince1970: @escaping () -> Double = { Date().timeIntervalSince1970 }) {
        self.secondsSince1970 = secondsSince1970
    }

    func value(at now: NIODeadline) -> String {
        if now >= formatsAgainAt {
            let time = secondsSince1970()
            let seconds = time.rounded(.down)
            text = Self.format(Int(seconds))
            formatsAgainAt = now + .nanoseconds(Int64((1 - (time - seconds)) * 1e9))
        }
        return text
    }

    /// IMF-fixdate (RFC 9110, section 5.6.7), such as `Sun, 06 Nov 1994 08:49:37 GMT`.
    static func format(_ secondsSince1970: Int) -> String {
        let (days, second) = secondsSince1970.flooredQuotientAndRemainder(dividingBy: 86_400)
        // Years are counted from 1 March, so that the leap day is the last of its year, in eras of 400 years.
        let (era, dayOfEra) = (days + 719_468).flooredQuotientAndRemainder(dividingBy: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = (monthFromMarch + 2) % 12
        let year = era * 400 + yearOfEra + (month < 2 ? 1 : 0)
        let weekday = (days + 4).flooredQuotientAndRemainder(dividingBy: 7).remainder
        return "\(weekdays[weekday]), \(padded(day)) \(months[month]) \(year) "
            + "\(padded(second / 3_600)):\(padded(second / 60 % 60)):\(padded(second % 60)) GMT"
    }

    private static let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    private static func padded(_ number: Int) -> String {
        number < 10 ? "0\(number)" : String(number)
    }
}

@available(*, unavailable)
extension DateHeader: Sendable {}

extension Int {
    fileprivate func flooredQuotientAndRemainder(dividingBy divisor: Int) -> (quotient: Int, remainder: Int) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
