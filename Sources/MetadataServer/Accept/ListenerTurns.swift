/// The order in which listening sockets that have connections are served.
///
/// The kernel names them in an order of its own, which may stay the same. Each round begins behind the socket that was served
/// last, so that none waits for more than one turn of each other.
struct ListenerTurns {
    private var last: UInt64 = 0

    /// The numbers of sockets that are ready, in the order of their turns.
    func order(_ ready: ArraySlice<UInt64>) -> ArraySlice<UInt64> {
        guard ready.count > 1 else { return ready }
        return ready.sorted { $0 &- last &- 1 < $1 &- last &- 1 }[...]
    }

    /// Notes that the socket of this number has its turn.
    mutating func served(_ number: UInt64) { last = number }
}
