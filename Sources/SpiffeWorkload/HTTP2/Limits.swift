import NIOCore

/// Bounds how often something may happen: `count` at once, and evenly more as `time` passes.
struct FloodLimit {
    private let interval: TimeAmount
    private let burst: TimeAmount
    /// The time at which all that has happened would have happened at the even rate.
    private var due = NIODeadline.uptimeNanoseconds(0)

    init(_ count: Int, in time: TimeAmount) {
        interval = .nanoseconds(time.nanoseconds / Int64(count))
        burst = time
    }

    /// Counts one more.
    ///
    /// - Returns: Whether that is within the limit.
    mutating func take(_ now: NIODeadline) -> Bool {
        due = max(due, now) + interval
        return due - now <= burst
    }
}

/// The bytes that a client may still send, on a stream or on all (RFC 9113, section 5.2).
struct ReceiveWindow {
    static let initial = 65_535
    private var left = ReceiveWindow.initial
    private var taken = 0

    /// Counts bytes that have arrived.
    ///
    /// - Returns: Whether they were within the window.
    mutating func take(_ size: Int) -> Bool {
        guard size <= left else { return false }
        left -= size
        taken += size
        return true
    }

    /// Opens the window again once half of it is used; returns by how much.
    mutating func update() -> Int? {
        guard taken > Self.initial / 2 else { return nil }
        defer { taken = 0 }
        left += taken
        return taken
    }
}

/// The streams that this server ended before their client did, the latest ones.
///
/// Frames may be on their way on such a stream, which is no breach (RFC 9113, section 5.1).
struct EndedStreams {
    /// More than a client may have open before it knows this server's limit.
    private static let capacity = 128
    private var numbers: [Int] = []
    private var next = 0

    mutating func insert(_ stream: Int) {
        if numbers.count < Self.capacity {
            numbers.append(stream)
        } else {
            numbers[next] = stream
            next = (next + 1) % Self.capacity
        }
    }

    func contains(_ stream: Int) -> Bool { numbers.contains(stream) }
}
