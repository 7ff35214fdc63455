package import NIOHTTP1

/// A request that passed every check that does not depend on who sent it.
package struct MetadataRequest: Sendable, Hashable {
    package let route: Route
    package let query: RequestQuery
    /// As sent, for a redirect to keep.
    package let rawQuery: String?
    /// HEAD: the answer's body is not wanted, so nothing is fetched for it.
    package let isHead: Bool
}

/// Checks requests in a fixed order: form, forwarding, host, flavor, route, method, query.
package struct RequestValidator: Sendable {
    private let hostNames: HostNames

    package init(configuration: MetadataServerConfiguration) {
        self.hostNames = HostNames(adding: configuration.extraHostNames)
    }

    package func validate(_ head: HTTPRequestHead) throws(RequestRefusal) -> MetadataRequest {
        let target = try RequestTarget(parsing: head.uri)
        // Even an empty one: whoever sent it, a proxy touched the request.
        guard !head.headers.contains(name: "X-Forwarded-For") else { throw .forwarded }
        try checkHost(of: head, authority: target.authority)

        let route = Route(path: target.path)
        if route != .root {
            try Self.checkFlavor(of: head)
        }
        guard let route else { throw .notFound }
        guard head.method == .GET || head.method == .HEAD else {
            switch route.routeClass {
            case .accessToken where head.method == .POST, .identityToken where head.method == .POST:
                throw .boundTokenNotSupported
            default:
                throw .methodNotAllowed
            }
        }
        let query = try RequestQuery(parsing: target.query)
        try Self.check(query, for: route)
        return MetadataRequest(
            route: route,
            query: query,
            rawQuery: target.query,
            isHead: head.method == .HEAD
        )
    }

    /// What a request was about, as far as its target tells.
    package static func routeClass(of head: HTTPRequestHead) -> RouteClass {
        guard let target = try? RequestTarget(parsing: head.uri) else { return .unrouted }
        return Route(path: target.path)?.routeClass ?? .unknown
    }

    /// What a credential's request must have is known before its account is.
    private static func check(_ query: RequestQuery, for route: Route) throws(RequestRefusal) {
        switch route.routeClass {
        case .accessToken:
            guard !query.waitsForChange else { throw .cannotWait }
        case .identityToken:
            guard !query.waitsForChange else { throw .cannotWait }
            guard query.audience?.isEmpty == false else { throw .missingAudience }
        case .root, .directory, .value, .account, .unknown, .unrouted:
            break
        }
    }

    private func checkHost(of head: HTTPRequestHead, authority: String?) throws(RequestRefusal) {
        let hosts = head.headers["Host"]
        switch hosts.count {
        case 0 where head.version == .http1_1: throw .malformed("A request of HTTP/1.1 must have a Host header.")
        case 0, 1: break
        default: throw .malformed("The request has more than one Host header.")
        }
        for host in hosts + (authority.map { [$0] } ?? []) where !hostNames.accepts(host) {
            throw .unknownHost
        }
    }

    private static func checkFlavor(of head: HTTPRequestHead) throws(RequestRefusal) {
        let flavors = head.headers["Metadata-Flavor"]
        guard flavors.count <= 1 else { throw .malformed("The request has more than one Metadata-Flavor header.") }
        guard let flavor = flavors.first, flavor.utf8.elementsEqual("Google".utf8) else { throw .missingFlavor }
    }
}
