import FoundationEssentials
import MetadataProtocol
import NIOCore

/// The value of the `Date` header, formatted once a second.
///
/// One per event loop, which is why it needs no lock.
package final class DateHeader {
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
    package static func format(_ secondsSince1970: Int) -> String {
        let time = CivilTime(secondsSince1970: secondsSince1970)
        return "\(weekdays[time.weekday]), \(CivilTime.padded(time.day)) \(months[time.month]) \(time.year) "
            + "\(CivilTime.padded(time.hour)):\(CivilTime.padded(time.minute)):\(CivilTime.padded(time.second)) GMT"
    }

    private static let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
}

@available(*, unavailable)
extension DateHeader: Sendable {}
