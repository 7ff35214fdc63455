/// A moment in the parts that dates are written with, in UTC.
package struct CivilTime {
    package var year: Int
    /// 0: January.
    package var month: Int
    package var day: Int
    /// 0: Sunday.
    package var weekday: Int
    package var hour: Int
    package var minute: Int
    package var second: Int

    package init(secondsSince1970: Int) {
        let (days, rest) = secondsSince1970.flooredQuotientAndRemainder(dividingBy: 86_400)
        // Years are counted from 1 March, so that the leap day is the last of its year, in eras of 400 years.
        let (era, dayOfEra) = (days + 719_468).flooredQuotientAndRemainder(dividingBy: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        month = (monthFromMarch + 2) % 12
        year = era * 400 + yearOfEra + (month < 2 ? 1 : 0)
        weekday = (days + 4).flooredQuotientAndRemainder(dividingBy: 7).remainder
        (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60)
    }

    /// Two digits.
    package static func padded(_ number: Int) -> String {
        number < 10 ? "0\(number)" : String(number)
    }

    /// `2026-11-29T02:00:00Z`: RFC 3339 without a fraction, the one form that every AWS SDK reads.
    package var rfc3339: String {
        "\(year)-\(Self.padded(month + 1))-\(Self.padded(day))T"
            + "\(Self.padded(hour)):\(Self.padded(minute)):\(Self.padded(second))Z"
    }
}

extension Int {
    fileprivate func flooredQuotientAndRemainder(dividingBy divisor: Int) -> (quotient: Int, remainder: Int) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
