package import Attribution
package import EventLoops
package import NIOHTTP1
package import Tokens

/// One metadata protocol, as a module of its own: the paths, forms and rules of it.
///
/// Rooms share everything else: one connection, one attribution, one set of limits, one server. The server knows a room by
/// this protocol alone, and imports none. A ServiceAccount's annotations decide which rooms its pods may use; the request
/// never does.
package protocol MetadataRoom: Sendable {
    /// Whether a canonical path belongs to this protocol. The server asks its rooms in their order: the first that owns a path
    /// serves it.
    func owns(_ path: String) -> Bool

    /// The class by which a request is counted that ``check(_:_:)`` refused; `path` is this protocol's.
    func routeClass(of path: String) -> RouteClass

    /// Checks everything that does not depend on who sent the request. `target` is `head`'s.
    func check(_ head: HTTPRequestHead, _ target: RequestTarget) throws(RequestRefusal) -> any RoomRequest

    /// The answer to a request of a pod that is not known yet, where it depends on no pod; `nil`: the pod has to be known.
    func answerToAnyone(_ request: any RoomRequest) -> Response?

    /// Answers a request of this room from the backend's caches, without suspension: on the event loop.
    func decide(_ request: any RoomRequest, for pod: PodRecord, by backend: any MetadataBackend) -> RoomDecision

    /// Answers what ``decide(_:for:by:)`` could not. Waits as long as each part does by itself, or until the task is
    /// cancelled.
    func decideWaiting(
        _ request: any RoomRequest, for pod: PodRecord, by backend: any MetadataBackend,
        on executor: EventLoopExecutor
    ) async -> RoomDecision

    /// A refusal that every protocol shares, in the form that this protocol's clients read.
    func form(_ response: Response) -> Response
}

/// A valid request, as the room that checked it understands it.
///
/// An object, so that each of the many copies that the server makes of a known request is one reference.
package protocol RoomRequest: AnyObject, Sendable {
    var routeClass: RouteClass { get }
    /// How long the client may be kept waiting; `nil`: as long as the server's own limit.
    var waitBudget: Duration? { get }

    /// Whether both ask for the same.
    func isEqual(to other: any RoomRequest) -> Bool
    /// Feeds all that ``isEqual(to:)`` compares.
    func hash(into hasher: inout Hasher)
}

/// A room's decision about a request.
package enum RoomDecision: Sendable {
    /// `lease` is how long the same pod may be given the same answer again; `nil`: it is for this request alone.
    case answer(Response, lease: TokenLease? = nil)
    /// The answer is not cached.
    case wait
    /// `wait_for_change`: keep the request until its answer's entity tag is another one than `known`, or for `seconds`.
    case hold(current: Response, known: String?, seconds: Int64?)
}

extension MetadataBackend {
    package func account(of pod: PodRecord) async -> Result<ServiceAccountRecord, TokenFailure> {
        do throws(TokenFailure) {
            return .success(try await serviceAccount(of: pod))
        } catch {
            return .failure(error)
        }
    }
}
