import FoundationEssentials

/// The time of day, for people.
package enum WallClock {
    /// Seconds since 1970.
    package static var seconds: Int64 { Int64(Date().timeIntervalSince1970) }

    /// `2026-11-21T12:00:00Z`.
    package static func timestamp() -> String { Date().ISO8601Format() }

    /// `2026-11-21T12:00:00.000Z`.
    package static func precise() -> String {
        Date().formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }
}
