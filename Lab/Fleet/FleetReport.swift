/// A fleet's minutes, and what they amount to.
package struct FleetReport: Sendable {
    /// One minute.
    package struct Minute: Sendable {
        package var exchanges: Int
        package var refusedExchanges: Int
        package var tokenRequests: Int
        package var refusedTokenRequests: Int
        package var reads: Int
        package var impersonations: Int
        /// Pods that want a token and have none, at the end of the minute.
        package var without: Int
    }

    package var options: FleetOptions
    package var minutes: [Minute] = []
    /// Pods without a token when recovery began; in a cold start, or when a zone returns, all that start.
    package var withoutAtEnd = 0
    /// The time from the end of the cause to the moment since which fewer than one pod in a thousand is without a
    /// token.
    package var recovery: Duration?

    /// The time that the quota alone dictates.
    package var leastRecovery = Duration.zero

    init(_ options: FleetOptions) { self.options = options }

    package var json: String {
        let rows = minutes.map { minute in
            "[\(minute.exchanges),\(minute.refusedExchanges),\(minute.tokenRequests),\(minute.refusedTokenRequests),"
                + "\(minute.reads),\(minute.impersonations),\(minute.without)]"
        }
        return "{\"scenario\":\"\(options.scenario.rawValue)\",\"nodes\":\(options.nodes),"
            + "\"pods\":\(options.pods),\"accounts\":\(options.accounts),\"quota\":\(options.exchangesPerMinute),"
            + "\"begins\":\(options.scenario.beginning.components.seconds),"
            + "\"ends\":\(options.scenario.end.components.seconds),\"without\":\(withoutAtEnd),"
            + "\"least\":\(leastRecovery / .seconds(1)),\"recovery\":\(recovery.map { "\($0 / .seconds(1))" } ?? "null"),"
            + "\"minutes\":[\(rows.joined(separator: ","))]}"
    }
}
