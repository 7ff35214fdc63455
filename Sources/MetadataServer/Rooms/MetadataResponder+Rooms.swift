import Attribution
import EventLoops
import NIOHTTP1
import Tokens

extension MetadataResponder {
    /// The answer to an invalid request, in the form of the protocol that its path belongs to.
    func response(to refusal: RequestRefusal, of head: HTTPRequestHead) -> Response {
        let response = errors.response(to: refusal)
        guard !rooms.isEmpty, let target = try? RequestTarget(parsing: head.uri) else { return response }
        return rooms.first { $0.owns(target.path) }?.form(response) ?? response
    }

    /// A refusal in the form of the request's own protocol.
    func form(_ response: Response, for request: MetadataRequest) -> Response {
        guard case .cloud(let request) = request.route else { return response }
        return room(of: request)?.form(response) ?? response
    }

    func room(of request: CloudRequest) -> (any CloudRoom)? {
        rooms.first { $0.cloud == request.cloud && $0.serves(request) }
    }

    // MARK: At once

    func respond(
        to request: CloudRequest, _ whole: MetadataRequest, for pod: PodRecord, leased: ResponseCache?
    ) -> Outcome {
        guard let room = room(of: request) else { return .answer(errors.response(to: .notFound)) }
        if let refusal = room.refusal(of: request, from: pod.uid) { return .answer(refusal) }
        guard let account = backend.cachedServiceAccount(of: pod) else { return .wait }
        do throws(RequestRefusal) {
            let content = try room.content(of: request, from: pod, account: account)
            let lease = content.awaited.flatMap { backend.lease(on: $0, for: pod, account: account) }
            let response: Response
            if case .credential(let credential) = content {
                if whole.isHead { return .answer(room.form(Response(.ok, .plain, .unknown))) }
                guard let token = backend.cachedCredential(credential, for: pod, account: account) else { return .wait }
                response = room.response(with: token, to: request, for: credential)
            } else {
                response = answer(to: request, with: content, room, pod, account)
            }
            // With a lease the credential is here, so that announcing it again would begin nothing.
            if let lease = lease?.ending(within: room.validity(of: request)) {
                leased?.store(response, to: whole, from: pod, for: lease)
            }
            return .answer(response)
        } catch {
            return .answer(room.form(errors.response(to: error)))
        }
    }

    /// Returns the answer that needs no wait for a credential.
    private func answer(
        to request: CloudRequest, with content: CloudContent, _ room: any CloudRoom, _ pod: PodRecord,
        _ account: ServiceAccountRecord
    ) -> Response {
        switch content {
        case .answer(let response): return response
        case .announcing(let credential, let response):
            backend.prepare(credential, for: pod, account: account)
            return response
        case .listing(let credential, let response):
            if let failure = backend.rememberedFailure(of: credential, for: pod, account: account),
                failure.retryAfter == nil
            {
                return room.response(to: failure, fetching: credential, for: request, account: account.reference)
            }
            backend.prepare(credential, for: pod, account: account)
            return response
        case .credential(let credential):
            return room.response(
                to: .timedOut(stage: "nothing"), fetching: credential, for: request, account: account.reference)
        }
    }

    // MARK: Waiting

    func respondWaiting(
        to request: CloudRequest, _ whole: MetadataRequest, for pod: PodRecord, on executor: EventLoopExecutor
    ) async -> Outcome {
        guard let room = room(of: request) else { return .answer(errors.response(to: .notFound)) }
        if let refusal = room.refusal(of: request, from: pod.uid) { return .answer(refusal) }
        let account: ServiceAccountRecord
        switch await fetchAccount(of: pod) {
        case .failure(let failure): return .answer(room.response(to: failure, reading: request, from: pod))
        case .success(let record): account = record
        }
        do throws(RequestRefusal) {
            let content = try room.content(of: request, from: pod, account: account)
            guard case .credential(let credential) = content else {
                return .answer(answer(to: request, with: content, room, pod, account))
            }
            if whole.isHead { return .answer(room.form(Response(.ok, .plain, .unknown))) }
            // A client that waits in vain gives up; what is valid is better than what is new.
            let limit =
                backend.holds(credential, for: pod, account: account) ? request.refreshBudget : request.waitBudget
            switch await fetch(credential, for: pod, account: account, within: limit, on: executor) {
            case .success(let token): return .answer(room.response(with: token, to: request, for: credential))
            case .failure(let failure):
                return .answer(
                    room.response(to: failure, fetching: credential, for: request, account: account.reference))
            }
        } catch {
            return .answer(room.form(errors.response(to: error)))
        }
    }

    /// At the limit's end the wait ends with what is left of the old credential, if there is one.
    private func fetch(
        _ credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord, within limit: Duration,
        on executor: EventLoopExecutor
    ) async -> Result<ServedToken, TokenFailure> {
        await withTaskGroup(of: Result<ServedToken, TokenFailure>?.self) { group in
            group.addTask {
                do throws(TokenFailure) {
                    return .success(try await backend.credential(credential, for: pod, account: account))
                } catch {
                    return .failure(error)
                }
            }
            group.addTask {
                try? await executor.sleep(for: limit)
                return nil
            }
            for await result in group {
                group.cancelAll()
                if let result { return result }
            }
            return .failure(.timedOut(stage: "the credential"))
        }
    }
}

// MARK: Whose pods are Google's

extension MetadataResponder {
    /// The answer to a request of Google's protocol where the pod is another cloud's alone: its ServiceAccount names
    /// identities elsewhere and none of Google's. `nil`: the pod is Google's.
    func refusalByGoogle(_ request: MetadataRequest, _ account: ServiceAccountRecord) -> Response? {
        guard account.googleServiceAccount == nil else { return nil }
        let others = rooms.filter { room in
            // An annotation that is wrong still says that the pod is another cloud's.
            do throws(RequestRefusal) { return try room.identity(of: account) != nil } catch { return true }
        }
        guard !others.isEmpty else { return nil }
        switch request.route {
        case .podUID, .podToken: return nil
        case .root:
            if let root = others.lazy.compactMap(\.root).first { return root }
        case .directory, .redirect, .leaf, .serviceAccount, .cloud: break
        }
        var response = ErrorResponse.error(
            request.route == .root ? .notFound : .forbidden,
            "Your Kubernetes service account (\(account.reference)) names an identity of another cloud and none of "
                + "Google's. Annotate it with iam.gke.io/gcp-service-account to use both.\n"
        ).because(.cloudIdentityMissing)
        response.dialect = .plain
        return response
    }
}
