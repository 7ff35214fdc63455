package import Foundation
import Synchronization

/// The wall clock of the lab, which tests can move to see tokens and certificates expire.
package final class LabClock: Sendable {
    private let offset = Mutex(Duration.zero)
    private let leader: LabClock?

    /// A clock that agrees with `leader`, or with the system's, until it is moved itself.
    package init(following leader: LabClock? = nil) {
        self.leader = leader
    }

    /// The lab's time.
    package var now: Date {
        (leader?.now ?? Date()).addingTimeInterval(offset.withLock { $0 } / .seconds(1))
    }

    /// Moves the lab's time by `duration`, forward or back.
    package func advance(by duration: Duration) {
        offset.withLock { $0 += duration }
    }
}

/// The spellings of time on the wire.
package enum Timestamp {
    /// RFC 3339 in UTC at second precision, as Kubernetes and Google write it.
    package static func rfc3339(_ date: Date) -> String {
        date.formatted(.iso8601)
    }

    /// RFC 9110 `IMF-fixdate`.
    package static func http(_ date: Date) -> String {
        let style = Date.VerbatimFormatStyle(
            format: """
                \(weekday: .abbreviated), \(day: .twoDigits) \(month: .abbreviated) \(year: .defaultDigits) \
                \(hour: .twoDigits(clock: .twentyFourHour, hourCycle: .zeroBased)):\(minute: .twoDigits):\
                \(second: .twoDigits) GMT
                """,
            locale: Locale(identifier: "en_US_POSIX"),
            timeZone: .gmt,
            calendar: Calendar(identifier: .gregorian)
        )
        return date.formatted(style)
    }

    /// Whole seconds since 1970, rounded down.
    package static func unix(_ date: Date) -> Int64 {
        Int64(date.timeIntervalSince1970.rounded(.down))
    }
}
