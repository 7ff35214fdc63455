package import Attribution
package import MetadataProtocol
import Text
package import Tokens

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

extension Response.Dialect {
    fileprivate static let azure = Response.Dialect(server: "IMDS")
}

extension AzureMetadataRoom {
    package func form(_ response: Response) -> Response {
        var response = response
        response.dialect = .azure
        guard response.status != .ok, case .text(let text) = response.body else { return response }
        if response.status == .notFound || response.status == .unauthorized { response.status = .badRequest }
        let words = text.split(whereSeparator: \.isNewline).joined(separator: " ")
        var body = #"{"error":""# + Self.code(response.status) + #"","error_description":"#
        body.appendQuoted(words)
        response.explanation = words
        response.contentType = .json
        response.body = .text(body + "}")
        return response
    }

    private static func code(_ status: Response.Status) -> String {
        switch status {
        case .forbidden: "forbidden"
        case .methodNotAllowed: "method_not_allowed"
        case .tooManyRequests: "too_many_requests"
        case .serviceUnavailable: "temporarily_unavailable"
        default: "invalid_request"
        }
    }

    package func response(
        to failure: TokenFailure, reading request: CloudRequest, from pod: PodRecord
    ) -> Response {
        form(ErrorResponse.unreadableAccount(failure, retryAfter: Self.retryAfter(failure)))
    }

    /// Numbers are strings: one SDK fails on anything else.
    package func response(
        with token: ServedToken, to request: CloudRequest, for credential: CloudCredential
    ) -> Response {
        let now = time(nil)
        let client = EntraIdentity(credential.identity.principal)?.clientID ?? ""
        let members = [
            ("access_token", token.token.exposed), ("client_id", client), ("expires_in", String(token.expiresIn)),
            ("expires_on", String(now + token.expiresIn)), ("ext_expires_in", String(token.expiresIn)),
            ("not_before", String(now)), ("resource", request.name), ("token_type", "Bearer"),
        ]
        var text = ""
        for (name, value) in members {
            text += text.isEmpty ? "{" : ","
            text.appendQuoted(name)
            text += ":"
            text.appendQuoted(value)
        }
        return form(Response(.ok, .json, .secret(SecretToken(text + "}"))))
    }

    package func response(
        to failure: TokenFailure, fetching credential: CloudCredential, for request: CloudRequest,
        account: ServiceAccountReference
    ) -> Response {
        let status: Response.Status
        let text: String
        switch failure {
        case .upstream(let upstream, _, _):
            let isFinal = upstream.kind != .unavailable && upstream.kind != .rateLimited
            status = isFinal ? .badRequest : .serviceUnavailable
            let origin = upstream.upstream == .kubernetes ? "Kubernetes" : "Entra ID"
            let answered = upstream.status.map { " answered \($0)" } ?? " did not answer"
            text =
                "\(origin)\(answered): \(upstream.message). "
                + (isFinal ? Self.remedy(upstream, credential, account) : "Try again.")
        case .limited(let reason, _): (status, text) = (.tooManyRequests, "Too many requests: \(reason).")
        case .timedOut(let stage): (status, text) = (.serviceUnavailable, "No token in time (\(stage)). Try again.")
        case .podGone, .noGoogleServiceAccount: (status, text) = (.badRequest, "Identity not found: the pod is gone.")
        }
        return form(
            ErrorResponse.error(
                status, text, retryAfter: status == .badRequest ? nil : Self.retryAfter(failure)
            ).because(RefusalCause(failure)))
    }

    private static func retryAfter(_ failure: TokenFailure) -> Int {
        Int(min(max((failure.retryAfter ?? .zero).components.seconds + 1, 1), 60))
    }

    /// Says what has to be changed, and by whom, where Entra refuses a token.
    package static func remedy(
        _ failure: UpstreamFailure, _ credential: CloudCredential, _ account: ServiceAccountReference
    ) -> String {
        if failure.upstream == .kubernetes {
            return "The request was for your Kubernetes service account (\(account)): the node needs the verb "
                + "request-serviceaccounts-token-audience for the audience of Azure, see podidentd's manifests."
        }
        return
            "Your Kubernetes service account (\(account)) asked for \(credential.identity.principal). Check that the "
            + "identity has a federated credential with this cluster's issuer, the subject "
            + "system:serviceaccount:\(account.namespace):\(account.name) and the audience that podidentd requests."
    }
}
