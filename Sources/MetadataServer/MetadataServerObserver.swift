package import Attribution
package import MetadataProtocol

/// Observes what the server does, for counters. Called on event loops and on threads that accept: implementations only
/// count.
///
/// Every argument but the pod comes from a closed set, so that a counter's labels are bounded whatever callers send.
package protocol MetadataServerObserver: Sendable {
    func connectionOpened()
    func connectionClosed()
    func connectionReset(_ reason: ConnectionReset)
    func requestAnswered(_ answer: AnsweredRequest)
    func limitHit(_ limit: LimitKind)
    /// A request was refused or failed, besides ``requestAnswered(_:)``.
    func requestRefused(_ refusal: RefusedRequest)
}

/// One answer, for counters.
package struct AnsweredRequest: Sendable, Hashable {
    package enum Source: String, Sendable, Hashable, CaseIterable {
        /// The answer was in a cache.
        case cached
        /// A pod's record, its ServiceAccount or a token had to arrive.
        case fetched
    }

    package var route: RouteClass
    package var status: Response.Status
    package var source: Source
    /// The pod that asked; `nil`: the caller has no identity.
    package var pod: PodUID?
    /// The time from the complete request to its answer. `nil` where no request was complete, and for a
    /// `wait_for_change`.
    package var nanoseconds: Int64?

    package init(
        route: RouteClass, status: Response.Status, source: Source, pod: PodUID?, nanoseconds: Int64? = nil
    ) {
        self.route = route
        self.status = status
        self.source = source
        self.pod = pod
        self.nanoseconds = nanoseconds
    }
}

/// One refusal or failure, for the audit.
package struct RefusedRequest: Sendable, Equatable {
    /// The tag of the connection.
    package var tag: CallerTag
    package var route: RouteClass
    package var status: Response.Status
    package var cause: RefusalCause
    /// The text that the caller got.
    package var text: String

    package init(tag: CallerTag, route: RouteClass, status: Response.Status, cause: RefusalCause, text: String) {
        self.tag = tag
        self.route = route
        self.status = status
        self.cause = cause
        self.text = text
    }
}

/// Why a connection was reset at accept, unread.
package enum ConnectionReset: String, Sendable, Hashable, CaseIterable {
    /// The connection did not come through the redirect, or the kernel refused to name its caller.
    case untagged
    /// The caller's network namespace is not the listening socket's.
    case foreignNamespace = "foreign_namespace"
    /// The server is full.
    case connections
    /// The pod is over its limit and over the number of connections that get a 429.
    case connectionsPerPod = "connections_per_pod"
    /// The server is stopping.
    case stopping
}

/// A bound that a caller ran into.
package enum LimitKind: String, Sendable, Hashable, CaseIterable {
    case requestTarget = "request_target"
    case headers
    case body
    case requestTimeout = "request_timeout"
    case idleTimeout = "idle_timeout"
    case answerTimeout = "answer_timeout"
    case pipelinedRequests = "pipelined_requests"
    case connections
    case connectionsPerPod = "connections_per_pod"
    /// An idle connection ended because its pod opened another one beyond its limit.
    case idleConnections = "idle_connections"
    /// A connection was closed because unanswered requests of all pods held too many bytes.
    case unfinishedBytes = "unfinished_bytes"
}

extension RequestRefusal {
    /// The bound that the request broke, if it is refused for that.
    var limit: LimitKind? {
        switch self {
        case .requestTargetTooLong: .requestTarget
        case .headersTooLarge: .headers
        case .bodyTooLarge: .body
        case .requestTimedOut: .requestTimeout
        case .answerTimedOut: .answerTimeout
        case .tooManyConnections: .connectionsPerPod
        case .malformed, .badQuery, .forwarded, .unknownHost, .methodNotAllowed, .notFound, .room: nil
        }
    }
}
