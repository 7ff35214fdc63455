import MetadataServer
import Synchronization

/// Counts what the HTTP front does. One atomic addition an event, nothing shared to wait for.
final class RequestCounters: MetadataServerObserver {
    private final class Counter: Sendable {
        private let value = Atomic<UInt64>(0)

        var current: UInt64 { value.load(ordering: .relaxed) }

        func increment() {
            value.wrappingAdd(1, ordering: .relaxed)
        }
    }

    private let opened = Counter()
    private let closed = Counter()
    private let resets: [ConnectionReset: Counter]
    private let limits: [LimitKind: Counter]
    private let answers: [RouteClass: [Response.Status: Counter]]

    init() {
        resets = Dictionary(uniqueKeysWithValues: ConnectionReset.allCases.map { ($0, Counter()) })
        limits = Dictionary(uniqueKeysWithValues: LimitKind.allCases.map { ($0, Counter()) })
        answers = Dictionary(
            uniqueKeysWithValues: RouteClass.allCases.map { route in
                (route, Dictionary(uniqueKeysWithValues: Response.Status.allCases.map { ($0, Counter()) }))
            }
        )
    }

    func connectionOpened() {
        opened.increment()
    }

    func connectionClosed() {
        closed.increment()
    }

    func connectionReset(_ reason: ConnectionReset) {
        resets[reason]?.increment()
    }

    func requestAnswered(_ route: RouteClass, _ status: Response.Status) {
        answers[route]?[status]?.increment()
    }

    func limitHit(_ limit: LimitKind) {
        limits[limit]?.increment()
    }

    /// Everything that was counted at least once, by a dotted name.
    var snapshot: [String: UInt64] {
        var values = ["connections.opened": opened.current, "connections.closed": closed.current]
        for (reason, counter) in resets { values["connections.reset.\(reason.rawValue)"] = counter.current }
        for (limit, counter) in limits { values["limits.\(limit.rawValue)"] = counter.current }
        for (route, statuses) in answers {
            for (status, counter) in statuses {
                values["answers.\(route.rawValue).\(status.rawValue)"] = counter.current
            }
        }
        return values.filter { $0.value > 0 }
    }
}
