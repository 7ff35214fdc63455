package import Attribution
package import EventLoops
package import NIOHTTP1
import Tokens

/// A valid request of a ``CloudRoom``, on its way through the server.
private final class CheckedCloudRequest: RoomRequest {
    let request: CloudRequest
    /// Nothing is fetched for a HEAD.
    let isHead: Bool

    init(_ request: CloudRequest, isHead: Bool) {
        self.request = request
        self.isHead = isHead
    }

    var routeClass: RouteClass { request.routeClass }
    var waitBudget: Duration? { request.waitBudget }

    func isEqual(to other: any RoomRequest) -> Bool {
        guard let other = other as? CheckedCloudRequest else { return false }
        return request == other.request && isHead == other.isHead
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(request)
        hasher.combine(isHead)
    }
}

extension CloudRoom {
    package func routeClass(of path: String) -> RouteClass { .unknown }

    package func check(_ head: HTTPRequestHead, _ target: RequestTarget) throws(RequestRefusal) -> any RoomRequest {
        CheckedCloudRequest(try validate(head, target), isHead: head.method == .HEAD)
    }

    package func answerToAnyone(_ request: any RoomRequest) -> Response? { nil }

    // MARK: At once

    package func decide(
        _ request: any RoomRequest, for pod: PodRecord, by backend: any MetadataBackend
    ) -> RoomDecision {
        guard let checked = request as? CheckedCloudRequest else { return refuse(.notFound) }
        let request = checked.request
        if let refusal = refusal(of: request, from: pod.uid) { return .answer(refusal) }
        guard let account = backend.cachedServiceAccount(of: pod) else { return .wait }
        do throws(RequestRefusal) {
            let content = try content(of: request, from: pod, account: account)
            let lease = content.awaited.flatMap { backend.lease(on: $0, for: pod, account: account) }
            let answer: Response
            if case .credential(let credential) = content {
                if checked.isHead { return .answer(form(Response(.ok, .plain, .unknown))) }
                guard let token = backend.cachedCredential(credential, for: pod, account: account) else { return .wait }
                answer = response(with: token, to: request, for: credential)
            } else {
                answer = self.answer(to: request, with: content, pod, account, backend)
            }
            // With a lease the credential is here, so that announcing it again would begin nothing.
            return .answer(answer, lease: lease?.ending(within: validity(of: request)))
        } catch {
            return refuse(error)
        }
    }

    private func refuse(_ refusal: RequestRefusal) -> RoomDecision {
        .answer(form(ErrorResponse.response(to: refusal)))
    }

    /// Returns the answer that needs no wait for a credential.
    private func answer(
        to request: CloudRequest, with content: CloudContent, _ pod: PodRecord, _ account: ServiceAccountRecord,
        _ backend: any MetadataBackend
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
                return self.response(to: failure, fetching: credential, for: request, account: account.reference)
            }
            backend.prepare(credential, for: pod, account: account)
            return response
        case .credential(let credential):
            return response(
                to: .timedOut(stage: "nothing"), fetching: credential, for: request, account: account.reference)
        }
    }

    // MARK: Waiting

    package func decideWaiting(
        _ request: any RoomRequest, for pod: PodRecord, by backend: any MetadataBackend,
        on executor: EventLoopExecutor
    ) async -> RoomDecision {
        guard let checked = request as? CheckedCloudRequest else { return refuse(.notFound) }
        let request = checked.request
        if let refusal = refusal(of: request, from: pod.uid) { return .answer(refusal) }
        let account: ServiceAccountRecord
        switch await backend.account(of: pod) {
        case .failure(let failure): return .answer(response(to: failure, reading: request, from: pod))
        case .success(let record): account = record
        }
        do throws(RequestRefusal) {
            let content = try content(of: request, from: pod, account: account)
            guard case .credential(let credential) = content else {
                return .answer(answer(to: request, with: content, pod, account, backend))
            }
            if checked.isHead { return .answer(form(Response(.ok, .plain, .unknown))) }
            // A client that waits in vain gives up; what is valid is better than what is new.
            let limit =
                backend.holds(credential, for: pod, account: account) ? request.refreshBudget : request.waitBudget
            switch await backend.fetch(credential, for: pod, account: account, within: limit, on: executor) {
            case .success(let token): return .answer(response(with: token, to: request, for: credential))
            case .failure(let failure):
                return .answer(
                    response(to: failure, fetching: credential, for: request, account: account.reference))
            }
        } catch {
            return refuse(error)
        }
    }
}

extension MetadataBackend {
    /// Fetches the credential. At the limit's end the wait ends with what is left of the old one, if there is one.
    fileprivate func fetch(
        _ credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord, within limit: Duration,
        on executor: EventLoopExecutor
    ) async -> Result<ServedToken, TokenFailure> {
        let result: Result<ServedToken, TokenFailure>? = await executor.result(within: limit) {
            do throws(TokenFailure) {
                return .success(try await self.credential(credential, for: pod, account: account))
            } catch {
                return .failure(error)
            }
        }
        return result ?? .failure(.timedOut(stage: "the credential"))
    }
}
