/// How fresh the view of this node's pods is: for readiness and the debug dump.
package struct PodWatchStatus: Sendable, Hashable {
    /// The time when the API server last showed anything: a list, an accepted watch, an event, a bookmark.
    package var lastContact: ContinuousClock.Instant?
    /// Whether a complete list has been applied.
    package var isSynced = false
    /// Whether a watch is open now.
    package var isWatching = false
    /// The version of the last list, event or bookmark.
    package var resourceVersion: String?
    /// Lists applied; the first one is the start.
    package var lists = 0
    /// Lists that a miss asked for, of ``lists``.
    package var missLists = 0
    /// Lists that failed.
    package var failedLists = 0
    /// Watches that came to another end than the ordinary one, by how: expired, silent, broken, refused, disconnected.
    package var brokenWatches: [String: Int] = [:]
    /// Objects without a UID or a name, and events of an unknown type.
    package var skippedObjects = 0
    /// Times that a pod was shown whose object is larger than the agent reads.
    package var tooLargeObjects = 0
    /// The last thing that went wrong, in words. Kept after it is over.
    package var lastError: String?

    /// Whether the view is complete and was confirmed within `limit`. Bookmarks confirm it every 60 s.
    package func isFresh(within limit: Duration, at now: ContinuousClock.Instant = .now) -> Bool {
        isSynced && lastContact.map { now - $0 <= limit } ?? false
    }
}
