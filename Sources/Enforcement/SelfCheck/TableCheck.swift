import BPF

/// Has the host guard's nftables table put back where it is gone, and remembers what the log said about that.
struct TableCheck: Sendable {
    /// A line for the log.
    enum News: Sendable, Equatable {
        case restored
        /// The table went with the pins, and stays away.
        case uninstalled
        case failed(BPFError)
    }

    private var last: News?

    /// Notes that nothing is missing.
    mutating func seenInPlace() { last = nil }

    /// Puts a missing table back by `restore`, which says whether it was missing still. Not where pins are gone as well:
    /// ``Uninstallation`` removes both, and the pins first.
    ///
    /// - Returns: A line that the log does not have yet; `nil`: there is none.
    mutating func restore(_ pins: HeldPins.State, by restore: () throws(BPFError) -> Bool) -> News? {
        guard pins != .removed else { return report(.uninstalled) }
        do throws(BPFError) {
            let wasMissing = try restore()
            last = nil
            return wasMissing ? .restored : nil
        } catch {
            return report(.failed(error))
        }
    }

    private mutating func report(_ news: News) -> News? {
        guard news != last else { return nil }
        last = news
        return news
    }
}
