package import Attribution
package import EventLoops
package import MetadataProtocol
package import NIOHTTP1
import Tokens

/// Turns a request and a caller into an answer. Knows no connection, and no protocol but ``MetadataRoom``.
package struct MetadataResponder: Sendable {
    /// The decision about a request.
    package enum Outcome: Sendable, Hashable {
        case answer(Response)
        /// The answer is not cached: ``respondWaiting(to:from:within:on:)`` finds it.
        case wait
        /// `wait_for_change`: keep the request until its answer's entity tag is another one than `known`, or for
        /// `seconds`.
        case hold(current: Response, known: String?, seconds: Int64?)
    }

    private let backend: any MetadataBackend
    private let rooms: [any MetadataRoom]

    /// The first of `rooms` that owns a path serves it. The last also words the refusal of a target that is no path.
    package init(backend: any MetadataBackend, rooms: [any MetadataRoom]) {
        self.backend = backend
        self.rooms = rooms
    }

    // MARK: Requests

    /// Checks form and forwarding; all else the path's room checks.
    package func validate(_ head: HTTPRequestHead) throws(RequestRefusal) -> MetadataRequest {
        let target = try RequestTarget(parsing: head.uri)
        // Even an empty one: a proxy touched the request.
        guard !Self.forwarding.contains(where: { head.headers.contains(name: $0) }) else { throw .forwarded }
        guard let room = room(of: target) else { throw .notFound }
        return MetadataRequest(try rooms[room].check(head, target), room: room)
    }

    /// The room that serves a target, by its place.
    private func room(of target: RequestTarget) -> Int? { rooms.firstIndex { $0.owns(target.path) } }

    /// The header fields by which proxies tell that they sent a request on.
    private static let forwarding = ["X-Forwarded-For", "Forwarded", "Via"]

    /// The subject of a request, as far as its target tells.
    package func routeClass(of head: HTTPRequestHead) -> RouteClass {
        guard let target = try? RequestTarget(parsing: head.uri) else { return .unrouted }
        return room(of: target).map { rooms[$0].routeClass(of: target.path) } ?? .unknown
    }

    /// The answer to an invalid request, in the form of the protocol that its path belongs to.
    package func response(to refusal: RequestRefusal, of head: HTTPRequestHead) -> Response {
        guard let target = try? RequestTarget(parsing: head.uri), let room = room(of: target) else {
            return response(to: refusal)
        }
        return rooms[room].form(ErrorResponse.response(to: refusal))
    }

    /// The answer to a request of which no target is known: the last room's form.
    package func response(to refusal: RequestRefusal) -> Response {
        let response = ErrorResponse.response(to: refusal)
        return rooms.last?.form(response) ?? response
    }

    /// A refusal in the form of the request's own protocol.
    func form(_ response: Response, for request: MetadataRequest) -> Response {
        rooms[request.room].form(response)
    }

    // MARK: At once

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
        let isCredential = request.isCredential
        return leased.answer(to: request, from: caller.pod) { lease in
            // Only an answer with a credential counts as a use of it.
            isCredential ? backend.use(lease) : backend.holds(lease)
        }
    }

    /// Answers a request to which `leased` has no answer, from the backend's caches, without suspension: on the event loop.
    func decide(
        _ request: MetadataRequest, as identification: Identification, leased: ResponseCache?
    ) -> Outcome {
        switch identification {
        case .caller(let caller):
            let decision = rooms[request.room].decide(request.details, for: caller.pod, by: backend)
            if case .answer(let response, let lease?) = decision {
                leased?.store(response, to: request, from: caller.pod, for: lease)
            }
            return Outcome(decision)
        case .pending:
            return rooms[request.room].answerToAnyone(request.details).map(Outcome.answer) ?? .wait
        case .refused(let refusal): return .answer(form(ErrorResponse.response(to: refusal), for: request))
        }
    }

    // MARK: Waiting

    /// Answers what ``respond(to:from:)`` could not, waiting for the pod's record, its account and its token, which
    /// share one `limit`: at its end every wait ends with what it waited for. What is being fetched then goes on.
    ///
    /// The caller is identified once more at the end: what was fetched for a pod that has gone meanwhile goes nowhere.
    @concurrent
    package func respondWaiting(
        to request: MetadataRequest, from tag: CallerTag, within limit: Duration, on executor: EventLoopExecutor
    ) async -> Outcome {
        let outcome = await executor.result(within: limit) {
            await ClientWait.$began.withValue(.now) { await respondWaiting(to: request, from: tag, on: executor) }
        }
        return outcome ?? .answer(form(ErrorResponse.response(to: .answerTimedOut), for: request))
    }

    /// Waits as long as each part does by itself, or until the task is cancelled.
    private func respondWaiting(
        to request: MetadataRequest, from tag: CallerTag, on executor: EventLoopExecutor
    ) async -> Outcome {
        switch await backend.identifyHolding(tag) {
        case .pending(let uid): return .answer(form(ErrorResponse.pending(uid), for: request))
        case .refused(let refusal): return .answer(form(ErrorResponse.response(to: refusal), for: request))
        case .caller(let caller):
            let decision = await rooms[request.room].decideWaiting(
                request.details, for: caller.pod, by: backend, on: executor)
            switch backend.identify(tag) {
            case .caller(let now) where now.pod.uid == caller.pod.uid: return Outcome(decision)
            case .caller: return .answer(form(ErrorResponse.response(to: .podGone), for: request))
            case .pending(let uid): return .answer(form(ErrorResponse.pending(uid), for: request))
            case .refused(let refusal): return .answer(form(ErrorResponse.response(to: refusal), for: request))
            }
        }
    }
}

extension MetadataResponder.Outcome {
    fileprivate init(_ decision: RoomDecision) {
        switch decision {
        case .answer(let response, _): self = .answer(response)
        case .wait: self = .wait
        case .hold(let response, let known, let seconds):
            self = .hold(current: response, known: known, seconds: seconds)
        }
    }
}
