/// How long what is in flight may take to finish when the agent ends.
struct DrainTime {
    /// The limit for requests after a failure. Longer than nearly every request takes, and well below the 3 s after which
    /// clients of the metadata server give up: connections that come meanwhile wait for the next agent, below `podidentd-init`.
    static let afterFailure = Duration.seconds(1)

    /// The time of requests to the metadata server.
    var requests: Duration
    /// The time over which the ends of SPIFFE's streams are spread.
    var streams: Duration

    /// - Parameters:
    ///   - configured: The time that the configuration gives.
    ///   - keepsPodsWaiting: Whether the opener was lost and no successor serves: the next agent begins when this one has
    ///     ended, and until then no pod is served.
    init(configured: Duration, keepsPodsWaiting: Bool) {
        requests = keepsPodsWaiting ? min(configured, Self.afterFailure) : configured
        // Streams have no answer to finish: each of them would take its share of the time for nothing.
        streams = keepsPodsWaiting ? .zero : configured
    }
}
