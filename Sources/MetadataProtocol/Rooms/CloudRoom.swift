package import Attribution
package import NIOHTTP1
package import Tokens

/// The metadata protocol of one cloud whose credentials the token core fetches through a `CloudCredentialExchanging`.
///
/// Nothing here fetches: a room says what a request is for, and ``decide(_:for:by:)`` of all of them carries it out.
package protocol CloudRoom: MetadataRoom {
    /// Checks everything that does not depend on who sent the request. `target` is `head`'s.
    func validate(_ head: HTTPRequestHead, _ target: RequestTarget) throws(RequestRefusal) -> CloudRequest

    /// Refuses a request that lacks what only this pod has; `nil` if there is nothing to refuse. Decides without the
    /// pod's ServiceAccount. A cached answer is given again without it, for no longer than ``validity(of:)``.
    func refusal(of request: CloudRequest, from pod: PodUID) -> Response?

    /// Returns the time for which an answer to the request may be given again, as far as the request itself says.
    func validity(of request: CloudRequest) -> Duration

    /// The identity that `account` names in this cloud, `nil` if it names none.
    func identity(of account: ServiceAccountRecord) throws(RequestRefusal) -> CloudIdentity?

    /// Decides what a request gets, once the caller's account is known.
    func content(
        of request: CloudRequest, from pod: PodRecord, account: ServiceAccountRecord
    ) throws(RequestRefusal) -> CloudContent

    /// The answer where the account cannot be read.
    func response(to failure: TokenFailure, reading request: CloudRequest, from pod: PodRecord) -> Response

    /// The answer with `token`, which was fetched for `request`.
    func response(with token: ServedToken, to request: CloudRequest, for credential: CloudCredential) -> Response

    /// The answer where the credential cannot be fetched.
    func response(
        to failure: TokenFailure, fetching credential: CloudCredential, for request: CloudRequest,
        account: ServiceAccountReference
    ) -> Response

    /// The answer to `/` for pods that are not Google's; `nil`: this room has none.
    var root: Response? { get }
}

extension CloudRoom {
    package func validity(of request: CloudRequest) -> Duration { .seconds(1) }
}

/// A valid request to a room.
package struct CloudRequest: Sendable, Hashable {
    /// The operation, by the name of a room that has several.
    package var operation = ""
    /// The identity or the resource that the path or the query names.
    package var name = ""
    /// The identity, where the query names both.
    package var identity: String?
    /// The session token that the request carries.
    package var sessionToken: SecretToken?
    /// Seconds that the client asks for.
    package var seconds = 0
    package var routeClass: RouteClass
    /// How long the client may be kept waiting.
    package var waitBudget: Duration
    /// The same while a valid credential is here, which is served at its end.
    package var refreshBudget: Duration

    package init(_ routeClass: RouteClass, waitBudget: Duration, refreshBudget: Duration) {
        self.routeClass = routeClass
        self.waitBudget = waitBudget
        self.refreshBudget = refreshBudget
    }
}

/// A room's decision about a request.
package enum CloudContent: Sendable {
    case answer(Response)
    /// Answer, and begin to fetch the credential, which the client is about to ask for.
    case announcing(CloudCredential, Response)
    /// The same, unless the credential was refused just now: then that is the answer.
    case listing(CloudCredential, Response)
    case credential(CloudCredential)

    /// The credential that the client asks for, or is about to ask for.
    var awaited: CloudCredential? {
        switch self {
        case .answer: nil
        case .announcing(let credential, _), .listing(let credential, _), .credential(let credential): credential
        }
    }
}
