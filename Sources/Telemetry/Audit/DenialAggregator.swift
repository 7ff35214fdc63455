/// Turns repetitions into numbers, so that no caller can fill the audit's disk by being refused: the first of a kind is
/// told at once, the rest of its minute in one line.
struct DenialAggregator: Sendable {
    typealias Instant = ContinuousClock.Instant

    /// The fields by which two denials are the same.
    struct Key: Sendable, Hashable {
        /// The pod's UID; of a denial that is no pod's, its ServiceAccount.
        var subject: String?
        var event: AuditRecord.Event
        var reason: String?
        var kind: String?
    }

    private struct Window: Sendable {
        /// The latest, with the number of those that are not told yet.
        var record: AuditRecord
        var pending = 0
        var endsAt: Instant
    }

    static let interval = Duration.seconds(60)
    /// Windows at once. Beyond it denials share one window without a pod.
    static let limit = 4096

    private var windows: [Key: Window] = [:]

    /// The windows that there are, of each event's one for all that came beyond the limit included.
    var count: Int { windows.count }
    static let most = limit + AuditRecord.Event.allCases.count

    /// Whether nothing was denied within the last minute.
    var isEmpty: Bool { windows.isEmpty }

    /// Takes a denial; returns what is to be written now.
    mutating func note(_ record: AuditRecord, now: Instant) -> AuditRecord? {
        var record = record
        var key = Key(
            subject: record.subject.uid ?? Self.account(of: record.subject), event: record.event, reason: record.reason,
            kind: record.object?.kind)
        if windows[key] == nil, windows.count >= Self.limit {
            record = AuditRecord(
                event: record.event, time: record.time, node: record.node, zone: record.zone, result: record.result,
                reason: "others")
            key = Key(subject: nil, event: record.event, reason: record.reason, kind: nil)
        }
        guard var window = windows[key] else {
            windows[key] = Window(record: record, endsAt: now + Self.interval)
            return record
        }
        window.pending += record.count
        window.record = record
        windows[key] = window
        return nil
    }

    /// The namespace and the name of a ServiceAccount, between which no name has the slash.
    private static func account(of subject: AuditRecord.Subject) -> String? {
        subject.serviceAccount.map { "\(subject.namespace ?? "")/\($0)" }
    }

    /// Takes the records of the windows that have ended, or of all.
    mutating func take(endedAt now: Instant? = nil) -> [AuditRecord] {
        var records: [AuditRecord] = []
        for (key, window) in windows where now.map({ window.endsAt <= $0 }) ?? true {
            guard window.pending > 0 else {
                windows[key] = nil
                continue
            }
            var record = window.record
            record.count = window.pending
            records.append(record)
            // Denials that go on get one line a minute.
            windows[key] = now.map { Window(record: window.record, endsAt: $0 + Self.interval) }
        }
        return records
    }
}
