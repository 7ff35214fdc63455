package import Attribution
package import Tokens

/// Maps the refusals that all protocols share to a status and a text. Each room words its own, by the same rules.
///
/// The rules: what an operator or caller must change is 4xx, in words that say who and what; what may work on the next
/// try is 503 or 429 with `Retry-After`, never another 5xx, for half of the clients do not retry those; a token is
/// never 404 unless IAM said so, for Go hides the text of a 404. Texts that Google's server has are kept to the letter,
/// because people search for them.
package enum ErrorResponse {
    package static func error(_ status: Response.Status, _ text: String, retryAfter: Int? = nil) -> Response {
        Response(status, .error, .text(text), retryAfter: retryAfter)
    }

    /// The pod's ServiceAccount cannot be read, in a cloud's protocol that asks for it.
    package static func unreadableAccount(_ failure: TokenFailure, retryAfter: Int) -> Response {
        error(
            .serviceUnavailable, "The Kubernetes service account cannot be read: \(failure)", retryAfter: retryAfter
        ).because(RefusalCause(failure))
    }

    /// The pod's record did not arrive within the hold.
    package static func pending(_ uid: PodUID) -> Response {
        error(
            .serviceUnavailable,
            "The pod of this connection (UID \(uid)) is not known on this node yet. Try again.\n",
            retryAfter: 1
        ).because(.podUnknown)
    }

    package static func response(to refusal: IdentityRefusal) -> Response {
        let text =
            switch refusal {
            case .notInPod:
                "This connection does not come from a pod's container, so it has no identity."
            case .podGone:
                "The pod of this connection is gone, and its identity with it."
            case .podFinished(let namespace, let name, let phase):
                "Pod \(namespace)/\(name) is in phase \(phase.rawValue): it gets no more credentials."
            case .staticPod(let namespace, let name):
                "Pod \(namespace)/\(name) is a static pod. Static pods have no ServiceAccount, hence no identity. "
                    + "Run the workload as a DaemonSet or a Deployment to give it one."
            case .podTooLarge(let namespace, let name):
                "The object of pod \(namespace)/\(name) in the Kubernetes API is too large to be read, so it gets no "
                    + "credentials. Make the pod's spec smaller."
            case .denied(let namespace, let name):
                "Pod \(namespace)/\(name) is denied the metadata server on this node. "
                    + "Ask your cluster administrator about podidentd's policies."
            case .passedThrough(let namespace, let name):
                "Pod \(namespace)/\(name) is to use the machine's own metadata server, "
                    + "which a new connection reaches. Try again."
            }
        let cause = RefusalCause(refusal)
        if case .passedThrough = refusal { return elsewhere(text + "\n").because(cause) }
        if case .podTooLarge = refusal {
            return error(.serviceUnavailable, text + "\n", retryAfter: 60).because(cause)
        }
        return error(.forbidden, text + "\n").because(cause)
    }

    /// Ends the connection: a kept-alive connection would bring every next try here as well.
    private static func elsewhere(_ text: String) -> Response {
        var response = error(.serviceUnavailable, text, retryAfter: 1)
        response.closesConnection = true
        return response
    }

    package static func response(to refusal: RequestRefusal) -> Response {
        answer(to: refusal).because(RefusalCause(refusal))
    }

    private static func answer(to refusal: RequestRefusal) -> Response {
        switch refusal {
        case .malformed(let reason), .badQuery(let reason):
            error(.badRequest, reason + "\n")
        case .forwarded:
            error(
                .forbidden,
                "Requests that came through a proxy (X-Forwarded-For, Forwarded or Via header) are not served by the "
                    + "metadata server: they would get the proxy's identity. Add 169.254.169.254 to NO_PROXY.\n")
        case .unknownHost:
            error(
                .forbidden,
                "The Host header names no metadata server. Use metadata.google.internal or 169.254.169.254.\n")
        case .room(let refusal):
            error(refusal.status, refusal.text)
        case .methodNotAllowed:
            error(.methodNotAllowed, "The metadata server is read-only: use GET or HEAD.\n")
        case .notFound:
            error(.notFound, "Not Found\n")
        case .requestTargetTooLong(let limit):
            error(.uriTooLong, "The request target is longer than \(limit) bytes.\n")
        case .headersTooLarge(let bytes, let fields):
            error(
                .requestHeaderFieldsTooLarge,
                "The request has more than \(fields) header fields "
                    + "or \(bytes) bytes of them.\n")
        case .bodyTooLarge(let limit):
            error(.contentTooLarge, "The body is larger than \(limit) bytes.\n")
        case .requestTimedOut:
            error(.requestTimeout, "The request took too long to arrive.\n")
        case .answerTimedOut:
            error(.serviceUnavailable, "The answer took too long. Try again.\n", retryAfter: 1)
        case .tooManyConnections(let limit):
            error(
                .tooManyRequests,
                "This pod has too many connections to the metadata server (\(limit) "
                    + "at most, fewer when the node is busy). Reuse or close them.\n",
                retryAfter: 1)
        }
    }
}
