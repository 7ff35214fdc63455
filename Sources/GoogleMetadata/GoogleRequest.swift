package import MetadataProtocol

/// A valid request of Google's protocol.
package final class GoogleRequest: RoomRequest {
    package let route: Route
    package let query: RequestQuery
    /// As sent, for a redirect to keep.
    package let rawQuery: String?
    /// HEAD: the answer's body is not wanted, so nothing is minted for it.
    package let isHead: Bool
    package let routeClass: RouteClass

    init(route: Route, query: RequestQuery, rawQuery: String?, isHead: Bool) {
        self.route = route
        self.query = query
        self.rawQuery = rawQuery
        self.isHead = isHead
        self.routeClass = route.routeClass
    }

    package var waitBudget: Duration? { nil }

    package func isEqual(to other: any RoomRequest) -> Bool {
        guard let other = other as? GoogleRequest else { return false }
        return route == other.route && query == other.query && rawQuery == other.rawQuery && isHead == other.isHead
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(route)
        hasher.combine(query)
        hasher.combine(rawQuery)
        hasher.combine(isHead)
    }
}
