import MetadataProtocol

/// A valid request of Google's protocol.
final class GoogleRequest: RoomRequest {
    let route: Route
    let query: RequestQuery
    /// The query as sent, for a redirect to keep.
    let rawQuery: String?
    /// HEAD: the answer's body is not wanted, so nothing is minted for it.
    let isHead: Bool
    let routeClass: RouteClass

    init(route: Route, query: RequestQuery, rawQuery: String?, isHead: Bool) {
        self.route = route
        self.query = query
        self.rawQuery = rawQuery
        self.isHead = isHead
        self.routeClass = route.routeClass
    }

    var waitBudget: Duration? { nil }

    func isEqual(to other: any RoomRequest) -> Bool {
        guard let other = other as? GoogleRequest else { return false }
        return route == other.route && query == other.query && rawQuery == other.rawQuery && isHead == other.isHead
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(route)
        hasher.combine(query)
        hasher.combine(rawQuery)
        hasher.combine(isHead)
    }
}
