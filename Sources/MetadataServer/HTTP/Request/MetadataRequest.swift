package import NIOHTTP1

/// A request that passed every check that does not depend on who sent it.
package struct MetadataRequest: Sendable, Hashable {
    /// A hash of all that follows, made once: requests are looked up far more often than they are decoded. Its seed is
    /// this process's, so that no caller can choose requests that meet.
    private let digest: Int
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
        var hasher = Hasher()
        hasher.combine(route)
        hasher.combine(query)
        hasher.combine(rawQuery)
        hasher.combine(isHead)
        digest = hasher.finalize()
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(digest)
    }

    /// How long the client may be kept waiting, where its protocol's clients give up before Google's.
    var waitBudget: Duration? {
        if case .cloud(let request) = route { request.waitBudget } else { nil }
    }
}

/// Checks requests in a fixed order: form, forwarding, then host, flavor, route, method, query, or what another cloud's
/// protocol checks.
package struct RequestValidator: Sendable {
    private let hostNames: HostNames
    private let podTokenAudiences: Set<String>
    private let rooms: [any CloudRoom]

    package init(configuration: MetadataServerConfiguration, rooms: [any CloudRoom] = []) {
        self.rooms = rooms
        self.hostNames = HostNames(adding: configuration.extraHostNames)
        self.podTokenAudiences = configuration.podTokenAudiences
    }

    package func validate(_ head: HTTPRequestHead) throws(RequestRefusal) -> MetadataRequest {
        let target = try RequestTarget(parsing: head.uri)
        // Even an empty one: a proxy touched the request.
        guard !Self.forwarding.contains(where: { head.headers.contains(name: $0) }) else { throw .forwarded }
        if let room = rooms.first(where: { $0.owns(target.path) }) {
            let request = try room.validate(head, target)
            return MetadataRequest(
                route: .cloud(request), query: RequestQuery(), rawQuery: nil, isHead: head.method == .HEAD)
        }
        try target.check(head, isFor: hostNames)

        let route = Route(path: target.path)
        if route != .root {
            try Self.checkFlavor(of: head)
        }
        guard let route, route != .podToken || !podTokenAudiences.isEmpty else { throw .notFound }
        guard head.method == .GET || head.method == .HEAD else {
            switch route.routeClass {
            case .accessToken where head.method == .POST, .identityToken where head.method == .POST:
                throw .boundTokenNotSupported
            default:
                throw .methodNotAllowed
            }
        }
        let query = try RequestQuery(parsing: target.query)
        try check(query, for: route)
        return MetadataRequest(
            route: route,
            query: query,
            rawQuery: target.query,
            isHead: head.method == .HEAD
        )
    }

    /// The header fields by which proxies tell that they sent a request on.
    private static let forwarding = ["X-Forwarded-For", "Forwarded", "Via"]

    /// The subject of a request, as far as its target tells.
    package static func routeClass(of head: HTTPRequestHead) -> RouteClass {
        guard let target = try? RequestTarget(parsing: head.uri) else { return .unrouted }
        return Route(path: target.path)?.routeClass ?? .unknown
    }

    /// Checks the parts of a credential's request that need no account.
    private func check(_ query: RequestQuery, for route: Route) throws(RequestRefusal) {
        switch route.routeClass {
        case .accessToken:
            guard !query.waitsForChange else { throw .cannotWait }
        case .identityToken:
            guard !query.waitsForChange else { throw .cannotWait }
            guard query.audience?.isEmpty == false else { throw .missingAudience }
        case .podToken:
            guard !query.waitsForChange else { throw .cannotWait }
            guard let audience = query.audience, !audience.isEmpty else { throw .missingAudience }
            guard podTokenAudiences.contains(audience) else { throw .audienceNotConfigured(audience) }
        case .root, .directory, .value, .account, .podUID, .sessionToken, .cloudListing, .cloudCredential, .cloudValue,
            .unknown, .unrouted:
            break
        }
    }

    private static func checkFlavor(of head: HTTPRequestHead) throws(RequestRefusal) {
        guard let flavor = try head.onlyField("Metadata-Flavor"), flavor.utf8.elementsEqual("Google".utf8) else {
            throw .missingFlavor
        }
    }

}

extension HTTPRequestHead {
    /// The field's value, without copying any; `nil` if there is none. `name` consists of letters, digits and hyphens,
    /// for which one bit is the difference between the cases.
    func onlyField(_ name: String) throws(RequestRefusal) -> String? {
        var found: String?
        for (field, value) in headers
        where field.utf8.count == name.utf8.count && zip(field.utf8, name.utf8).allSatisfy({ $0 | 0x20 == $1 | 0x20 }) {
            guard found == nil else { throw .malformed("The request has more than one \(name) header.") }
            found = value
        }
        return found
    }
}
