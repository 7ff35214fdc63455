package import Attribution
package import EventLoops
package import NIOHTTP1
import Tokens

/// From a request and a caller to an answer. Knows no connection.
package struct MetadataResponder: Sendable {
    /// The decision about a request.
    package enum Outcome: Sendable, Hashable {
        case answer(Response)
        /// The answer is not cached: ``respondWaiting(to:from:within:on:)`` finds it.
        case wait
        /// `wait_for_change`: keep the request until its answer's entity tag is another one than `current`'s, or for
        /// `seconds`.
        case hold(current: Response, seconds: Int64?)
    }

    package let errors: ErrorResponse
    let configuration: MetadataServerConfiguration
    let backend: any MetadataBackend
    /// The protocols of other clouds.
    let rooms: [any CloudRoom]
    private let validator: RequestValidator

    package init(
        configuration: MetadataServerConfiguration, backend: any MetadataBackend, rooms: [any CloudRoom] = []
    ) {
        self.errors = ErrorResponse(configuration: configuration)
        self.configuration = configuration
        self.backend = backend
        self.rooms = rooms
        self.validator = RequestValidator(configuration: configuration, rooms: rooms)
    }

    /// As of now: what is known of the node may change.
    var tree: MetadataTree { MetadataTree(configuration: configuration, instance: backend.instance) }

    package func validate(_ head: HTTPRequestHead) throws(RequestRefusal) -> MetadataRequest {
        try validator.validate(head)
    }

    /// Answers without a look at leased answers.
    package func respond(to request: MetadataRequest, from tag: CallerTag) -> Outcome {
        decide(request, as: identify(tag), leased: nil)
    }

    /// Identifies the caller of a connection, now.
    func identify(_ tag: CallerTag) -> Identification { backend.identify(tag) }

    /// Returns the answer that the same pod got to the same request, if its lease holds.
    ///
    /// `identification` is of this moment: a pod may vanish under a kept-alive connection.
    func cachedAnswer(
        to request: MetadataRequest, as identification: Identification, in leased: ResponseCache
    ) -> CachedResponse? {
        guard case .caller(let caller) = identification else { return nil }
        // A lease's answer was decided for just this request of just this pod, session token included.
        let isCredential = request.routeClass.isCredential
        return leased.answer(to: request, from: caller.pod) { lease in
            // Only an answer with a credential counts as a use of it.
            isCredential ? backend.use(lease) : backend.holds(lease)
        }
    }

    /// Answers a request to which `leased` has no answer, from the backend's caches, without suspension: on the event loop.
    func decide(
        _ request: MetadataRequest, as identification: Identification, leased: ResponseCache?
    ) -> Outcome {
        let caller: Caller
        switch identification {
        case .caller(let identified): caller = identified
        // Clients give the detection endpoint as little as 100 ms, and its answer says nothing about anybody.
        case .pending where request.route == .root && configuration.servesGoogle: return .answer(root)
        case .pending: return .wait
        case .refused(let refusal): return .answer(form(errors.response(to: refusal), for: request))
        }
        if case .cloud(let cloud) = request.route {
            return respond(to: cloud, request, for: caller.pod, leased: leased)
        }
        do {
            if !rooms.isEmpty, isGoogles(request) {
                guard let record = backend.cachedServiceAccount(of: caller.pod) else { return .wait }
                if let refusal = refusalByGoogle(request, record) { return .answer(refusal) }
            }
            guard dependsOnAccount(request) else {
                return try finish(content(of: request, for: caller.pod, nil), request)
            }
            guard let record = backend.cachedServiceAccount(of: caller.pod) else {
                return request.isHead && request.routeClass.isCredential
                    ? .answer(unknownBody(of: request)) : .wait
            }
            let content = try content(of: request, for: caller.pod, record)
            switch content {
            case .value, .fixed:
                return try finish(content, request)
            case .accessToken, .identityToken, .podToken:
                let lease = lease(on: content, for: caller.pod, record)
                if let response = cachedCredential(content, request, for: caller.pod, record) {
                    if let lease { leased?.store(response, to: request, from: caller.pod, for: lease) }
                    return .answer(response)
                }
                return request.isHead ? .answer(unknownBody(of: request)) : .wait
            }
        } catch {
            return .answer(errors.response(to: error))
        }
    }

    /// Answers what ``respond(to:from:)`` could not, waiting for the pod's record, its account and its token, which
    /// share one `limit`: at its end every wait ends with what it waited for. What is being fetched then goes on.
    ///
    /// The caller is identified once more at the end: what was fetched for a pod that has gone meanwhile goes nowhere.
    @concurrent
    package func respondWaiting(
        to request: MetadataRequest, from tag: CallerTag, within limit: Duration, on executor: EventLoopExecutor
    ) async -> Outcome {
        await withTaskGroup(of: Outcome?.self) { group in
            group.addTask {
                await ClientWait.$began.withValue(.now) { await respondWaiting(to: request, from: tag, on: executor) }
            }
            group.addTask {
                try? await executor.sleep(for: limit)
                return nil
            }
            for await outcome in group {
                group.cancelAll()
                if let outcome { return outcome }
            }
            return .answer(form(errors.response(to: .answerTimedOut), for: request))
        }
    }

    /// Waits as long as each part does by itself, or until the task is cancelled.
    private func respondWaiting(
        to request: MetadataRequest, from tag: CallerTag, on executor: EventLoopExecutor
    ) async -> Outcome {
        switch await backend.identifyHolding(tag) {
        case .pending(let uid): return .answer(form(errors.pending(uid), for: request))
        case .refused(let refusal): return .answer(form(errors.response(to: refusal), for: request))
        case .caller(let caller):
            let outcome =
                if case .cloud(let cloud) = request.route {
                    await respondWaiting(to: cloud, request, for: caller.pod, on: executor)
                } else {
                    await respondWaiting(to: request, for: caller.pod)
                }
            switch backend.identify(tag) {
            case .caller(let now) where now.pod.uid == caller.pod.uid: return outcome
            case .caller: return .answer(form(errors.response(to: .podGone), for: request))
            case .pending(let uid): return .answer(form(errors.pending(uid), for: request))
            case .refused(let refusal): return .answer(form(errors.response(to: refusal), for: request))
            }
        }
    }

    private func respondWaiting(to request: MetadataRequest, for pod: PodRecord) async -> Outcome {
        do throws(RequestRefusal) {
            // A pod that is another cloud's alone has to be known as such. One read decides that and the credential: where
            // it fails, none is given.
            let known = !rooms.isEmpty && isGoogles(request) ? await fetchAccount(of: pod) : nil
            if let known, let refusal = refusalByGoogle(request, try? known.get()) {
                return .answer(refusal)
            }
            guard dependsOnAccount(request) else {
                return try finish(content(of: request, for: pod, nil), request)
            }
            // Nothing is fetched for the HEAD of a credential; it learns what is known already.
            if request.isHead, request.routeClass.isCredential, backend.cachedServiceAccount(of: pod) == nil {
                return .answer(unknownBody(of: request))
            }
            let account = if let known { known } else { await fetchAccount(of: pod) }
            switch account {
            case .failure(let failure): return .answer(errors.response(to: failure, credential: .of(request)))
            case .success(let record):
                let content = try content(of: request, for: pod, record)
                switch content {
                case .value, .fixed: return try finish(content, request)
                case .accessToken, .identityToken, .podToken:
                    if request.isHead { return .answer(unknownBody(of: request)) }
                    return .answer(await credential(content, request, for: pod, record))
                }
            }
        } catch {
            return .answer(errors.response(to: error))
        }
    }

    func fetchAccount(of pod: PodRecord) async -> Result<ServiceAccountRecord, TokenFailure> {
        do throws(TokenFailure) {
            return .success(try await backend.serviceAccount(of: pod))
        } catch {
            return .failure(error)
        }
    }

    /// Access tokens are what is asked for again and again.
    private func lease(on content: Content, for pod: PodRecord, _ account: ServiceAccountRecord) -> TokenLease? {
        guard case .accessToken(let scopes) = content else { return nil }
        return backend.leaseOnAccessToken(for: pod, account: account, scopes: scopes)
    }

    /// `nil` if none is cached.
    private func cachedCredential(
        _ content: Content, _ request: MetadataRequest, for pod: PodRecord, _ account: ServiceAccountRecord
    ) -> Response? {
        switch content {
        case .accessToken(let scopes):
            backend.cachedAccessToken(for: pod, account: account, scopes: scopes).map(Response.accessToken)
        case .identityToken(let audience):
            backend.cachedIdentityToken(for: pod, account: account, audience: audience).map(Response.identityToken)
        case .podToken(let audience):
            backend.cachedPodToken(for: pod, account: account, audience: audience)
                .map { .podToken($0, request.query.alternative) }
        case .fixed, .value: nil
        }
    }

    private func credential(
        _ content: Content, _ request: MetadataRequest, for pod: PodRecord, _ account: ServiceAccountRecord
    ) async -> Response {
        do throws(TokenFailure) {
            switch content {
            case .accessToken(let scopes):
                return .accessToken(try await backend.accessToken(for: pod, account: account, scopes: scopes))
            case .identityToken(let audience):
                guard account.googleServiceAccount != nil else { throw .noGoogleServiceAccount(account.reference) }
                return .identityToken(try await backend.identityToken(for: pod, account: account, audience: audience))
            case .podToken(let audience):
                let token = try await backend.podToken(for: pod, account: account, audience: audience)
                return .podToken(token, request.query.alternative)
            case .fixed(let response), .value(let response):
                return response
            }
        } catch {
            return errors.response(to: error, credential: .of(request))
        }
    }
}
