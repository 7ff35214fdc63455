/// Decides whether each pod's connections have to be compared, by the sums of all pods. What the agent's own proof adds to them
/// is no news: it would have every pod's compared on an idle node.
///
/// The result of a comparison depends on the one before: after a change two of them follow.
struct TrafficNews: Sendable {
    private static let looks = 2

    private var last: [UInt64] = []
    private var left = 0

    /// Whether to compare now.
    mutating func take(_ counters: [String: UInt64], own: ConnectionProof.Traffic) -> Bool {
        let sums = [(counters["redirected"] ?? 0) &- own.begun, (counters["tagged"] ?? 0) &- own.arrived]
        if sums != last {
            last = sums
            left = Self.looks
        }
        guard left > 0 else { return false }
        left -= 1
        return true
    }
}
