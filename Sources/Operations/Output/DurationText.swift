/// Seconds as people read them in a table.
package enum DurationText {
    /// `41s`, `3m20s`, `2h05m`, `4d03h`; a negative time begins with a minus.
    package static func short(_ seconds: Int) -> String {
        let value = abs(seconds)
        let text =
            switch value {
            case ..<60: "\(value)s"
            case ..<3600: "\(value / 60)m\(twoDigits(value % 60))s"
            case ..<86_400: "\(value / 3600)h\(twoDigits(value / 60 % 60))m"
            default: "\(value / 86_400)d\(twoDigits(value / 3600 % 24))h"
            }
        return seconds < 0 ? "-" + text : text
    }

    private static func twoDigits(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
}
