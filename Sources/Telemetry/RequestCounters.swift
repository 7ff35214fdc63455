package import MetadataProtocol
package import MetadataServer
package import Operations

/// Counts what the metadata server does. One or two atomic additions an event, nothing shared to wait for.
package final class RequestCounters: MetadataServerObserver {
    package let opened = MetricCounter()
    private let closed = MetricCounter()
    package let resets = CounterTable<ConnectionReset>()
    package let limits = CounterTable<LimitKind>()
    package let refusals = CounterTable<RefusalCause>()
    package let cachedDuration = LatencyHistogram()
    package let fetchedDuration = LatencyHistogram()
    package let pods: PodMeters
    /// A row for each route, a column for each status.
    private let answers = RouteClass.allCases.map { _ in Response.Status.allCases.map { _ in MetricCounter() } }
    private let onRefusal: @Sendable (RefusedRequest) -> Void

    /// `onRefusal` is called on event loops, for every refusal.
    package init(pods: PodMeters = PodMeters(), onRefusal: @escaping @Sendable (RefusedRequest) -> Void = { _ in }) {
        self.pods = pods
        self.onRefusal = onRefusal
    }

    package func connectionOpened() {
        opened.increment()
    }

    package func connectionClosed() {
        closed.increment()
    }

    package func connectionReset(_ reason: ConnectionReset) {
        resets.increment(reason)
    }

    package func requestAnswered(_ answer: AnsweredRequest) {
        answers[answer.route.row][answer.status.column].increment()
        let nanoseconds = answer.nanoseconds.map { UInt64(max($0, 0)) }
        pods.count(pod: answer.pod, isRefusal: answer.status.rawValue >= 400, nanoseconds: nanoseconds)
        guard let nanoseconds else { return }
        switch answer.source {
        case .cached: cachedDuration.observe(nanoseconds: nanoseconds)
        case .fetched: fetchedDuration.observe(nanoseconds: nanoseconds)
        }
    }

    package func requestRefused(_ refusal: RefusedRequest) {
        refusals.increment(refusal.cause)
        onRefusal(refusal)
    }

    package func limitHit(_ limit: LimitKind) {
        limits.increment(limit)
    }

    /// Every answer that was given at least once.
    package var answered: [(route: RouteClass, status: Response.Status, count: UInt64)] {
        RouteClass.allCases.flatMap { route in
            Response.Status.allCases.map { (route, $0, answers[route.row][$0.column].current) }
        }.filter { $0.count > 0 }
    }

    /// Everything that was counted at least once, by a dotted name.
    package var snapshot: [String: UInt64] {
        var values = ["connections.opened": opened.current, "connections.closed": closed.current]
        for (reason, count) in resets.values { values["connections.reset.\(reason.rawValue)"] = count }
        for (limit, count) in limits.values { values["limits.\(limit.rawValue)"] = count }
        for answer in answered { values["answers.\(answer.route.rawValue).\(answer.status.rawValue)"] = answer.count }
        return values.filter { $0.value > 0 }
    }
}

/// Positions in `allCases`, without hashing: they are needed for every request.
extension RouteClass {
    var row: Int {
        switch self {
        case .root: 0
        case .directory: 1
        case .value: 2
        case .account: 3
        case .accessToken: 4
        case .identityToken: 5
        case .podToken: 6
        case .podUID: 7
        case .sessionToken: 8
        case .cloudListing: 9
        case .cloudCredential: 10
        case .cloudValue: 11
        case .unknown: 12
        case .unrouted: 13
        }
    }
}

extension Response.Status {
    var column: Int {
        switch self {
        case .ok: 0
        case .movedPermanently: 1
        case .badRequest: 2
        case .unauthorized: 3
        case .forbidden: 4
        case .notFound: 5
        case .methodNotAllowed: 6
        case .requestTimeout: 7
        case .contentTooLarge: 8
        case .uriTooLong: 9
        case .tooManyRequests: 10
        case .requestHeaderFieldsTooLarge: 11
        case .serviceUnavailable: 12
        }
    }
}
