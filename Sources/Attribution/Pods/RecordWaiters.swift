/// The requests that wait for pod records, bounded in number.
struct RecordWaiters: Sendable {
    typealias Continuation = CheckedContinuation<PodRecord?, Never>

    /// Names one waiter, so that it can be dismissed before it has enlisted.
    struct Ticket: Hashable, Sendable {
        fileprivate let number: UInt64
    }

    let limit: Int
    private var waiters: [PodUID: [Ticket: Continuation]] = [:]
    private var count = 0
    private var lastTicket: UInt64 = 0

    init(limit: Int) {
        self.limit = limit
    }

    mutating func makeTicket() -> Ticket {
        self.lastTicket += 1
        return Ticket(number: self.lastTicket)
    }

    /// Returns whether there was room.
    mutating func enlist(_ continuation: Continuation, as ticket: Ticket, for uid: PodUID) -> Bool {
        guard self.count < self.limit else { return false }
        self.count += 1
        self.waiters[uid, default: [:]][ticket] = continuation
        return true
    }

    /// Takes out one waiter, if it is still there. The caller resumes it, outside any lock.
    mutating func dismiss(_ ticket: Ticket, for uid: PodUID) -> Continuation? {
        guard let continuation = self.waiters[uid]?.removeValue(forKey: ticket) else { return nil }
        self.count -= 1
        if self.waiters[uid]?.isEmpty == true { self.waiters[uid] = nil }
        return continuation
    }

    /// Takes out every waiter whose record `find` knows by now, with the record. The caller resumes them, in this order:
    /// the one that has waited longest first.
    mutating func dismissAll(_ find: (PodUID) -> PodRecord?) -> [(Continuation, PodRecord)] {
        var dismissed: [(ticket: Ticket, Continuation, PodRecord)] = []
        for (uid, waiters) in self.waiters {
            guard let record = find(uid) else { continue }
            dismissed += waiters.map { ($0.key, $0.value, record) }
            self.waiters[uid] = nil
            self.count -= waiters.count
        }
        return dismissed.sorted { $0.ticket.number < $1.ticket.number }.map { ($0.1, $0.2) }
    }
}
