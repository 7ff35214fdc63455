import Text

/// The pods of a node by what they ask of the agent: rates over a period, and totals.
package struct PodTop: Codable, Sendable, Equatable {
    /// The column by which the pods are ordered, the greatest first.
    package enum Order: String, CaseIterable, Sendable {
        case requests, refusals, latency, tokens
    }

    package struct Pod: Codable, Sendable, Equatable {
        package var namespace: String?
        package var pod: String?
        /// `nil`: callers without an identity.
        package var uid: String?
        package var requestsPerSecond: Double
        package var refusalsPerSecond: Double
        /// The requests since the agent's start.
        package var requests: UInt64
        package var refusals: UInt64
        /// Upper bounds of the time from a request to its answer, in the period; `nil`: nothing was answered.
        package var p50Microseconds: UInt64?
        package var p99Microseconds: UInt64?
        package var openConnections: Int
        package var tokens: Int
        package var failedTokens: Int
        package var leastTokenSecondsLeft: Int?
    }

    package var node: String
    /// The length of the period that rates and latencies are of.
    package var seconds: Double
    /// Whether the period began with the agent: there was nothing earlier to compare with.
    package var isSinceStart: Bool
    package var pods: [Pod]

    /// Compares two moments.
    ///
    /// - Parameters:
    ///   - now: The later one.
    ///   - earlier: The earlier one. Without it, or if another agent has begun to count since, the period is the time since
    ///     the agent's start.
    ///   - order: The order of the pods.
    package init(_ now: PodLoadDump, since earlier: PodLoadDump?, by order: Order) {
        let isSame = (earlier?.countedMilliseconds ?? .max) <= now.countedMilliseconds
        let earlier = isSame ? earlier : nil
        node = now.node
        isSinceStart = earlier == nil
        let milliseconds = now.countedMilliseconds - (earlier?.countedMilliseconds ?? 0)
        let seconds = Double(max(1, milliseconds)) / 1000
        self.seconds = seconds
        let before = Dictionary((earlier?.pods ?? []).map { ($0.uid, $0) }, uniquingKeysWith: { first, _ in first })
        pods = now.pods.map { Pod($0, since: before[$0.uid], seconds: seconds) }.sorted { order.puts($0, before: $1) }
    }

    /// Keeps the first `count` pods.
    package func first(_ count: Int) -> PodTop {
        var top = self
        top.pods = Array(pods.prefix(count))
        return top
    }

    /// A line about the whole, then a line a pod; at most `limit` of them.
    package func table(on terminal: Terminal = .plain, limit: Int = .max) -> String {
        let period = isSinceStart ? "since the agent's start" : "in \(Self.decimal(seconds)) s"
        let rate = pods.reduce(0) { $0 + $1.requestsPerSecond }
        let left = pods.count - min(limit, pods.count)
        // Callers without an identity share one line, and are no pod.
        let known = pods.count { $0.uid != nil }
        return "node \(node), \(counted(known, "pod")), \(Self.decimal(rate)) requests/s \(period)\n"
            + Self.table(first(limit).pods.map { (nil, $0) }, on: terminal)
            + (left > 0 ? "and \(left) more\n" : "")
    }

    /// The table of pods; with the column NODE if a pod's node is given.
    package static func table(_ pods: [(node: String?, pod: Pod)], on terminal: Terminal) -> String {
        let hasNodes = pods.contains { $0.node != nil }
        var table = TextTable(
            columns: (hasNodes ? [TextTable.Column("NODE", fit: .end)] : []) + [
                .init("NAMESPACE", fit: .end), .init("POD", fit: .end), "REQ/S", "REFUSED/S", "REQUESTS", "REFUSED",
                "P50 MS", "P99 MS", "OPEN", "TOKENS", "FAILED", "LEAST LEFT",
            ])
        for (node, pod) in pods {
            let shift = hasNodes ? 1 : 0
            table.append(
                (hasNodes ? [node ?? "-"] : []) + pod.cells,
                styles: pod.refusalsPerSecond > 0 ? [3 + shift: .bad] : [:])
        }
        return table.text(on: terminal)
    }

    /// A number with one decimal.
    static func decimal(_ value: Double) -> String {
        guard value.isFinite, value >= 0, value < 1e15 else { return "-" }
        let tenths = UInt64((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
}

extension PodTop.Order {
    /// Whether one pod stands before another: the greater one, or of equals the one that comes first by its name.
    package func puts(_ left: PodTop.Pod, before right: PodTop.Pod) -> Bool {
        let (a, b) = (weight(of: left), weight(of: right))
        func name(_ pod: PodTop.Pod) -> (String, String, String) {
            (pod.namespace ?? "~", pod.pod ?? "~", pod.uid ?? "~")
        }
        return a == b ? name(left) < name(right) : a > b
    }

    private func weight(of pod: PodTop.Pod) -> Double {
        switch self {
        case .requests: pod.requestsPerSecond
        case .refusals: pod.refusalsPerSecond
        case .latency: Double(pod.p99Microseconds ?? 0)
        case .tokens: Double(pod.tokens + pod.failedTokens)
        }
    }
}

extension PodTop.Pod {
    fileprivate init(_ now: PodLoadDump.Pod, since earlier: PodLoadDump.Pod?, seconds: Double) {
        func rate(_ count: UInt64, _ before: UInt64?) -> Double {
            let before = before ?? 0
            return Double(count >= before ? count - before : count) / seconds
        }
        let latency = earlier.map { now.latency.since($0.latency) } ?? now.latency
        namespace = now.namespace
        pod = now.pod
        uid = now.uid
        requestsPerSecond = rate(now.requests, earlier?.requests)
        refusalsPerSecond = rate(now.refusals, earlier?.refusals)
        requests = now.requests
        refusals = now.refusals
        p50Microseconds = latency.bound(of: 0.5)
        p99Microseconds = latency.bound(of: 0.99)
        openConnections = now.open
        tokens = now.tokens
        failedTokens = now.failedTokens
        leastTokenSecondsLeft = now.leastSecondsLeft
    }

    fileprivate var cells: [String] {
        [
            namespace ?? "-", pod ?? uid ?? "(no identity)", PodTop.decimal(requestsPerSecond),
            PodTop.decimal(refusalsPerSecond), "\(requests)", "\(refusals)",
            p50Microseconds.map(Self.milliseconds) ?? "-", p99Microseconds.map(Self.milliseconds) ?? "-",
            "\(openConnections)", "\(tokens)", "\(failedTokens)",
            leastTokenSecondsLeft.map(DurationText.short) ?? "-",
        ]
    }

    /// `0.064`, `16.384`.
    private static func milliseconds(_ microseconds: UInt64) -> String {
        let rest = "\(microseconds % 1000)"
        return "\(microseconds / 1000)." + String(repeating: "0", count: 3 - rest.count) + rest
    }
}
