import Attribution

/// A token that a simulated upstream gave out, and to whom.
struct Grant {
    enum Kind: String {
        /// The pod-bound JWT of a TokenRequest.
        case subject
        case federated
        case access
        case identity
    }

    var serial: Int
    var kind: Kind
    var pod: PodUID
    var namespace: String
    var account: String
    var accountUID: String
    /// The Google service account that it speaks for.
    var email: String?
    /// The audience, or the scopes as the request named them.
    var purpose: String
    /// When it truly ends, whatever any clock says.
    var end: ContinuousClock.Instant
    var isRevoked = false
}

/// Calendar dates of a simulated upstream's clock.
struct WallTime {
    let seconds: Int64

    /// 2026-11-29T00:00:00Z.
    static let beginning: Int64 = 1_795_910_400

    private var civil: (year: Int64, month: Int64, day: Int64) {
        // Howard Hinnant's days_from_civil, inverted: the era of 400 years, then the day in it.
        let days = seconds / 86_400 + 719_468
        let era = days / 146_097
        let dayOfEra = days - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }

    private static func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }

    private var time: String {
        let second = seconds % 86_400
        return "\(Self.two(second / 3600)):\(Self.two(second / 60 % 60)):\(Self.two(second % 60))"
    }

    var rfc3339: String {
        let (year, month, day) = civil
        return "\(year)-\(Self.two(month))-\(Self.two(day))T\(time)Z"
    }

    /// RFC 9110, section 5.6.7.
    var httpDate: String {
        let (year, month, day) = civil
        let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        return "\(days[Int(seconds / 86_400 % 7)]), \(Self.two(day)) \(months[Int(month) - 1]) \(year) \(time) GMT"
    }
}
