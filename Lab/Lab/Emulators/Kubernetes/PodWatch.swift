import NIOCore

/// The signals of an open watch, in order.
enum WatchSignal: Sendable {
    case change(ClusterState.Change, notBefore: ContinuousClock.Instant)
    case bookmark(resourceVersion: UInt64)
    /// The text that a faulty server writes, whatever it is.
    case text(String)
    /// The first half of an event, and the end.
    case cut
    case end
}

/// The lines of a watch.
enum WatchLine {
    static func event(_ type: String, _ object: JSON) -> ByteBuffer {
        let event: JSON = ["type": .string(type), "object": object]
        return ByteBuffer(string: event.text + "\n")
    }

    /// The line for a change as seen through `selector`; `nil` if it is not the watcher's business.
    ///
    /// A pod that comes to match is ADDED, one that ceases to match is DELETED, whatever happened to it.
    static func change(_ change: ClusterState.Change, selector: PodSelector) -> ByteBuffer? {
        let didMatch = selector.matches(change.before)
        if let after = change.after, selector.matches(after) {
            return event(didMatch ? "MODIFIED" : "ADDED", after.json(withTypeMeta: true))
        }
        guard didMatch, var last = change.after ?? change.before else { return nil }
        last.resourceVersion = change.resourceVersion
        return event("DELETED", last.json(withTypeMeta: true))
    }

    static func bookmark(_ resourceVersion: UInt64, endsInitialEvents: Bool = false) -> ByteBuffer {
        let annotations: JSON? = endsInitialEvents ? ["k8s.io/initial-events-end": "true"] : nil
        return event(
            "BOOKMARK",
            [
                "kind": "Pod", "apiVersion": "v1",
                "metadata": ["resourceVersion": .string(String(resourceVersion)), "annotations": annotations],
                "spec": ["containers": .null], "status": [:],
            ]
        )
    }
}

/// The query of a pod watch.
struct PodWatch: Sendable {
    /// A watch without `timeoutSeconds` ends after half an hour, the shortest that the API server chooses.
    private static let defaultTimeout = Duration.seconds(1800)
    /// Bookmarks that precede the end of a watch. Measured: 2.3 s and 1.0 s.
    private static let finalBookmarks: [Duration] = [.milliseconds(2300), .milliseconds(1000)]
    /// Watches up to this long get no final bookmarks. Measured with 2 s.
    private static let shortWatch = Duration.seconds(2)

    var selector: PodSelector
    /// `0` and `nil`: everything that exists comes first, as ADDED.
    var resourceVersion: UInt64?
    var timeout: Duration
    var allowsBookmarks: Bool
    /// The streaming list: the end of the initial events is marked.
    var sendsInitialEvents: Bool

    init(_ request: LabRequest, selector: PodSelector) throws(KubernetesStatus) {
        self.selector = selector
        resourceVersion = try request.resourceVersion
        timeout = request.query("timeoutSeconds").flatMap(Int.init).map { .seconds($0) } ?? Self.defaultTimeout
        allowsBookmarks = request.query("allowWatchBookmarks") == "true"
        sendsInitialEvents = request.query("sendInitialEvents") == "true"
        let match = request.query("resourceVersionMatch")
        if sendsInitialEvents, match != "NotOlderThan" {
            throw Self.forbiddenMatch("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
        }
        if !sendsInitialEvents, match != nil {
            throw Self.forbiddenMatch(
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
        }
    }

    /// Waiting times before each bookmark, and at last before the end, each from the one before.
    func schedule(bookmarkInterval: Duration) -> [Duration] {
        var moments: [Duration] = []
        if allowsBookmarks {
            var next = bookmarkInterval
            // A day of bookmarks is more than any watch lasts.
            while next < timeout, moments.count < 100_000 {
                moments.append(next)
                next += bookmarkInterval
            }
            if timeout > Self.shortWatch {
                moments += Self.finalBookmarks.map { timeout - $0 }.filter { $0 > .zero }
            }
            moments.sort()
        }
        moments.append(timeout)
        return zip(moments, [.zero] + moments).map { $0 - $1 }
    }

    private static func forbiddenMatch(_ why: String) -> KubernetesStatus {
        let cause = "Forbidden: \(why)"
        return KubernetesStatus(
            code: 422,
            reason: "Invalid",
            message: "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: \(cause)",
            details: [
                "group": "meta.k8s.io", "kind": "ListOptions",
                "causes": [
                    [
                        "reason": "FieldValueForbidden", "message": .string(cause),
                        "field": "resourceVersionMatch",
                    ]
                ],
            ]
        )
    }
}

extension LabRequest {
    /// The query's `resourceVersion`; `nil` if absent or empty. Something that is not a number gives 500.
    var resourceVersion: UInt64? {
        get throws(KubernetesStatus) {
            guard let text = query("resourceVersion"), !text.isEmpty else { return nil }
            guard let version = UInt64(text) else {
                throw KubernetesStatus(
                    code: 500,
                    reason: "InternalError",
                    message: "Internal error occurred: resourceVersion: Invalid value: \"\(text)\": strconv.ParseUint: "
                        + "parsing \"\(text)\": invalid syntax",
                    details: ["causes": [["message": .string("resourceVersion: Invalid value: \"\(text)\"")]]]
                )
            }
            return version
        }
    }
}
