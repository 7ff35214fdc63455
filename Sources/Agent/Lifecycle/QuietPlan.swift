/// Decides, at each look at a counter, whether a burst of what it counts has just ended.
struct QuietPlan {
    private var seen: UInt64
    private var handled: UInt64

    /// Begins with a count whose burst is over.
    init(_ count: UInt64) {
        seen = count
        handled = count
    }

    /// Whether nothing was counted since the look before, and something since the last end of a burst.
    mutating func isQuiet(at count: UInt64) -> Bool {
        defer { seen = count }
        guard count == seen, count != handled else { return false }
        handled = count
        return true
    }
}
