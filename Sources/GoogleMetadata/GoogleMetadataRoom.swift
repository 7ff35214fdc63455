package import Attribution
package import EventLoops
package import MetadataProtocol
package import NIOHTTP1
import Tokens

/// Google's metadata protocol, as GKE's metadata server speaks it, with the paths of podidentd's own, which have its form.
///
/// Owns every path, so it stands behind all other rooms: unknown paths are refused in its words.
package struct GoogleMetadataRoom: MetadataRoom {
    /// Google's names for its server.
    static let hostNames = HostNames(only: [
        "169.254.169.254", "fd20:ce::254", "metadata", "metadata.google.internal", "metadata.goog",
    ])

    let configuration: GoogleMetadataConfiguration
    /// The other clouds' rooms: a pod whose ServiceAccount names identities in these alone gets nothing of Google's.
    let others: [any CloudRoom]
    private let instance: @Sendable () -> InstanceAttributes
    let failures: GoogleFailures

    /// `instance` is called for each request: what is known of the node may change.
    package init(
        _ configuration: GoogleMetadataConfiguration, besides others: [any CloudRoom],
        instance: @escaping @Sendable () -> InstanceAttributes
    ) {
        self.configuration = configuration
        self.others = others
        self.instance = instance
        self.failures = GoogleFailures(configuration)
    }

    /// The metadata tree, with what is known of the node now.
    var tree: MetadataTree { MetadataTree(configuration: configuration, instance: instance()) }

    // MARK: Requests

    package func owns(_ path: String) -> Bool { true }

    package func routeClass(of path: String) -> RouteClass { Route(path: path)?.routeClass ?? .unknown }

    /// Checks in a fixed order: host, flavor, route, method, query.
    package func check(_ head: HTTPRequestHead, _ target: RequestTarget) throws(RequestRefusal) -> any RoomRequest {
        try target.check(head, isFor: Self.hostNames)
        let route = Route(path: target.path)
        if route != .root {
            try Self.checkFlavor(of: head)
        }
        guard let route, route != .podToken || !configuration.podTokenAudiences.isEmpty else { throw .notFound }
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
        return GoogleRequest(route: route, query: query, rawQuery: target.query, isHead: head.method == .HEAD)
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
            guard configuration.podTokenAudiences.contains(audience) else { throw .audienceNotConfigured(audience) }
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

    /// Clients give the detection endpoint as little as 100 ms, and its answer says nothing about anybody.
    package func answerToAnyone(_ request: any RoomRequest) -> Response? {
        guard configuration.servesGoogle, (request as? GoogleRequest)?.route == .root else { return nil }
        return root
    }

    // MARK: At once

    package func decide(
        _ request: any RoomRequest, for pod: PodRecord, by backend: any MetadataBackend
    ) -> RoomDecision {
        form(decided(request, for: pod, by: backend))
    }

    /// Takes Google's header off every answer where Google's protocol is not served, also off those of the agent's own paths.
    private func form(_ decision: RoomDecision) -> RoomDecision {
        switch decision {
        case .answer(let response, let lease): .answer(form(response), lease: lease)
        case .wait: .wait
        case .hold(let response, let known, let seconds):
            .hold(current: form(response), known: known, seconds: seconds)
        }
    }

    private func decided(
        _ request: any RoomRequest, for pod: PodRecord, by backend: any MetadataBackend
    ) -> RoomDecision {
        guard let request = request as? GoogleRequest else { return refuse(.notFound) }
        do throws(RequestRefusal) {
            if !others.isEmpty, isGoogles(request) {
                guard let record = backend.cachedServiceAccount(of: pod) else { return .wait }
                if let refusal = refusal(of: request, record) { return .answer(refusal) }
            }
            guard dependsOnAccount(request) else { return try finish(content(of: request, for: pod, nil), request) }
            guard let record = backend.cachedServiceAccount(of: pod) else {
                return request.isHead && request.routeClass.isCredential ? .answer(unknownBody(of: request)) : .wait
            }
            let content = try content(of: request, for: pod, record)
            switch content {
            case .value, .fixed:
                return try finish(content, request)
            case .accessToken, .identityToken, .podToken:
                let source = AccountCredentials(pod: pod, account: record, backend: backend)
                let lease = source.lease(on: content)
                if let response = source.cached(content, request) { return .answer(response, lease: lease) }
                return request.isHead ? .answer(unknownBody(of: request)) : .wait
            }
        } catch {
            return refuse(error)
        }
    }

    private func refuse(_ refusal: RequestRefusal) -> RoomDecision { .answer(ErrorResponse.response(to: refusal)) }

    // MARK: Waiting

    package func decideWaiting(
        _ request: any RoomRequest, for pod: PodRecord, by backend: any MetadataBackend,
        on executor: EventLoopExecutor
    ) async -> RoomDecision {
        form(await decidedWaiting(request, for: pod, by: backend))
    }

    private func decidedWaiting(
        _ request: any RoomRequest, for pod: PodRecord, by backend: any MetadataBackend
    ) async -> RoomDecision {
        guard let request = request as? GoogleRequest else { return refuse(.notFound) }
        do throws(RequestRefusal) {
            // A pod that is another cloud's alone has to be known as such. One read decides that and the credential: where
            // it fails, none is given.
            let known = !others.isEmpty && isGoogles(request) ? await backend.account(of: pod) : nil
            if let known, let refusal = refusal(of: request, try? known.get()) {
                return .answer(refusal)
            }
            guard dependsOnAccount(request) else { return try finish(content(of: request, for: pod, nil), request) }
            // Nothing is fetched for the HEAD of a credential; it learns what is known already.
            if request.isHead, request.routeClass.isCredential, backend.cachedServiceAccount(of: pod) == nil {
                return .answer(unknownBody(of: request))
            }
            let account = if let known { known } else { await backend.account(of: pod) }
            switch account {
            case .failure(let failure): return .answer(failures.response(to: failure, credential: .of(request)))
            case .success(let record):
                let content = try content(of: request, for: pod, record)
                switch content {
                case .value, .fixed: return try finish(content, request)
                case .accessToken, .identityToken, .podToken:
                    if request.isHead { return .answer(unknownBody(of: request)) }
                    return .answer(
                        await credential(
                            content, request, AccountCredentials(pod: pod, account: record, backend: backend)))
                }
            }
        } catch {
            return refuse(error)
        }
    }

    private func credential(_ content: Content, _ request: GoogleRequest, _ source: AccountCredentials) async
        -> Response
    {
        do throws(TokenFailure) {
            return try await source.fetched(content, request)
        } catch {
            return failures.response(to: error, credential: .of(request))
        }
    }
}
