/// Decides whether each pod's connections have to be compared, by the sums of all pods.
///
/// The result of a comparison depends on the one before: after a change two of them follow.
struct TrafficNews: Sendable {
    private static let looks = 2

    private var last: [UInt64] = []
    private var left = 0

    /// Whether to compare now.
    mutating func take(_ counters: [String: UInt64]) -> Bool {
        let sums = ["redirected", "tagged"].map { counters[$0] ?? 0 }
        if sums != last {
            last = sums
            left = Self.looks
        }
        guard left > 0 else { return false }
        left -= 1
        return true
    }
}
