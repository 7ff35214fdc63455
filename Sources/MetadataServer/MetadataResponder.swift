package import Attribution
package import NIOHTTP1
import Tokens

/// From a request and a caller to an answer. Knows no connection.
package struct MetadataResponder: Sendable {
    /// What is to be done with a request.
    package enum Outcome: Sendable, Hashable {
        case answer(Response)
        /// The answer is not at hand: ``respondWaiting(to:from:)`` finds it.
        case wait
        /// `wait_for_change`: keep the request until its answer's entity tag is another one than `current`'s, or for
        /// `seconds`.
        case hold(current: Response, seconds: Int64?)
    }

    package let errors: ErrorResponse
    private let configuration: MetadataServerConfiguration
    private let backend: any MetadataBackend
    private let validator: RequestValidator
    let tree: MetadataTree

    package init(configuration: MetadataServerConfiguration, backend: any MetadataBackend) {
        self.errors = ErrorResponse(configuration: configuration)
        self.configuration = configuration
        self.backend = backend
        self.validator = RequestValidator(configuration: configuration)
        self.tree = MetadataTree(configuration: configuration)
    }

    package func validate(_ head: HTTPRequestHead) throws(RequestRefusal) -> MetadataRequest {
        try validator.validate(head)
    }

    /// Answers from what is at hand, without suspension: on the event loop, for every request.
    package func respond(to request: MetadataRequest, from tag: CallerTag) -> Outcome {
        let caller: Caller
        switch backend.identify(tag) {
        case .caller(let identified): caller = identified
        // Clients give the detection endpoint as little as 100 ms, and its answer says nothing about anybody.
        case .pending where request.route == .root: return .answer(root)
        case .pending: return .wait
        case .refused(let refusal): return .answer(errors.response(to: refusal))
        }
        do {
            guard dependsOnAccount(request) else { return try finish(content(of: request, nil), request) }
            guard let record = backend.cachedServiceAccount(of: caller.pod) else {
                return request.isHead ? .answer(unknownBody(of: request)) : .wait
            }
            let account = try ServiceAccountView(record, configuration: configuration)
            let content = try content(of: request, account)
            switch content {
            case .accessToken(let scopes):
                if let token = backend.cachedAccessToken(for: caller.pod, account: record, scopes: scopes) {
                    return .answer(.accessToken(token))
                }
                return request.isHead ? .answer(unknownBody(of: request)) : .wait
            case .identityToken:
                return request.isHead ? .answer(unknownBody(of: request)) : .wait
            case .value, .fixed:
                return try finish(content, request)
            }
        } catch {
            return .answer(errors.response(to: error))
        }
    }

    /// Answers what ``respond(to:from:)`` could not, waiting for the pod's record, its account or its token.
    ///
    /// The caller is identified once more at the end: what was fetched for a pod that has gone meanwhile goes nowhere.
    @concurrent
    package func respondWaiting(to request: MetadataRequest, from tag: CallerTag) async -> Outcome {
        switch await backend.identifyHolding(tag) {
        case .pending(let uid): return .answer(errors.pending(uid))
        case .refused(let refusal): return .answer(errors.response(to: refusal))
        case .caller(let caller):
            let outcome = await respondWaiting(to: request, for: caller.pod)
            switch backend.identify(tag) {
            case .caller(let now) where now.pod.uid == caller.pod.uid: return outcome
            case .caller: return .answer(errors.response(to: .podGone))
            case .pending(let uid): return .answer(errors.pending(uid))
            case .refused(let refusal): return .answer(errors.response(to: refusal))
            }
        }
    }

    private func respondWaiting(to request: MetadataRequest, for pod: PodRecord) async -> Outcome {
        do throws(RequestRefusal) {
            guard dependsOnAccount(request) else { return try finish(content(of: request, nil), request) }
            // A HEAD learns what is known already, and nothing is fetched for it.
            guard !request.isHead || backend.cachedServiceAccount(of: pod) != nil else {
                return .answer(unknownBody(of: request))
            }
            switch await fetchAccount(of: pod) {
            case .failure(let failure): return .answer(errors.response(to: failure, credential: .of(request)))
            case .success(let record):
                let account = try ServiceAccountView(record, configuration: configuration)
                let content = try content(of: request, account)
                switch content {
                case .value, .fixed: return try finish(content, request)
                case .accessToken where request.isHead, .identityToken where request.isHead:
                    return .answer(unknownBody(of: request))
                case .accessToken(let scopes): return .answer(await accessToken(scopes, for: pod, record))
                case .identityToken(let audience): return .answer(await identityToken(audience, for: pod, record))
                }
            }
        } catch {
            return .answer(errors.response(to: error))
        }
    }

    private func fetchAccount(of pod: PodRecord) async -> Result<ServiceAccountRecord, TokenFailure> {
        do throws(TokenFailure) {
            return .success(try await backend.serviceAccount(of: pod))
        } catch {
            return .failure(error)
        }
    }

    private func accessToken(_ scopes: ScopeSet, for pod: PodRecord, _ account: ServiceAccountRecord) async -> Response
    {
        do throws(TokenFailure) {
            return .accessToken(try await backend.accessToken(for: pod, account: account, scopes: scopes))
        } catch {
            return errors.response(to: error, credential: .accessToken)
        }
    }

    private func identityToken(
        _ audience: String, for pod: PodRecord, _ account: ServiceAccountRecord
    ) async -> Response {
        do throws(TokenFailure) {
            guard account.googleServiceAccount != nil else { throw .noGoogleServiceAccount(account.reference) }
            return .identityToken(try await backend.identityToken(for: pod, account: account, audience: audience))
        } catch {
            return errors.response(to: error, credential: .identityToken(audience: audience))
        }
    }
}
