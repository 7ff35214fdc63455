package import Attribution
package import MetadataProtocol
import Text
package import Tokens

extension Response.Dialect {
    fileprivate static let ec2 = Response.Dialect(server: "EC2ws")
}

extension AWSMetadataRoom {
    func plain(_ text: String) -> Response {
        form(Response(.ok, .plain, .text(text)))
    }

    package var root: Response? { plain("latest\n") }

    /// AWS's clients read words, and some take an error's body for a name: it is one line that is harmless in a path, a
    /// header and JSON.
    package func form(_ response: Response) -> Response {
        AWSForm.apply(to: response)
    }

    package func response(
        to failure: TokenFailure, reading request: CloudRequest, from pod: PodRecord
    ) -> Response {
        // A session token says nothing about the account, and clients without one give up.
        if request.operation == Operation.sessionToken.rawValue { return sessionTokenAnyway(request, for: pod) }
        return form(
            ErrorResponse.error(
                .serviceUnavailable, "The Kubernetes service account cannot be read: \(failure)",
                retryAfter: AWSForm.retryAfter(failure)
            ).because(RefusalCause(failure)))
    }

    package func response(
        with token: ServedToken, to request: CloudRequest, for credential: CloudCredential
    ) -> Response {
        let account =
            request.operation == Operation.extendedCredentials.rawValue
            ? AWSRoleARN(credential.identity.principal)?.accountID : nil
        guard let document = AWSCredentialDocument(token) else { return AWSForm.unusable }
        var response = plain("")
        response.body = .secret(document.instanceMetadata(accountID: account))
        return response
    }

    package func response(
        to failure: TokenFailure, fetching credential: CloudCredential, for request: CloudRequest,
        account: ServiceAccountReference
    ) -> Response {
        let isListing = request.routeClass == .cloudListing
        // A document is complete or 401: one SDK ends its process on others. Listings may be missing.
        return form(AWSForm.failure(failure, credential, account, final: isListing ? .notFound : .unauthorized))
    }
}

extension AWSMetadataRoom {
    /// Says what has to be changed, and by whom, where AWS refuses a credential.
    package static func remedy(
        _ failure: UpstreamFailure, _ credential: CloudCredential, _ account: ServiceAccountReference
    ) -> String {
        AWSForm.advice(failure, credential, account)
    }
}

/// Forms that AWS's two endpoints share.
enum AWSForm {
    static func apply(to response: Response) -> Response {
        var response = response
        response.dialect = .ec2
        guard response.status != .ok, case .text(let text) = response.body else { return response }
        let line = VisibleText.blankingControls(text, and: "\"\\<>")
        response.body = .text(line.split(separator: " ").joined(separator: " "))
        return response
    }

    static func retryAfter(_ failure: TokenFailure) -> Int? {
        failure.retryAfter.map { Int(min(max($0.components.seconds + 1, 1), 60)) }
    }

    static var unusable: Response {
        apply(to: ErrorResponse.error(.serviceUnavailable, "The credentials are not usable.", retryAfter: 1))
            .because(.upstreamFailed)
    }

    /// `final` is the status where nothing changes by waiting.
    static func failure(
        _ failure: TokenFailure, _ credential: CloudCredential, _ account: ServiceAccountReference,
        final: Response.Status
    ) -> Response {
        let isFinal: Bool
        var text: String
        switch failure {
        case .upstream(let upstream, _, _):
            isFinal = upstream.kind != .unavailable && upstream.kind != .rateLimited
            let origin = upstream.upstream == .kubernetes ? "Kubernetes" : "AWS STS"
            let status = upstream.status.map { " answered \($0)" } ?? " did not answer"
            text = "\(origin)\(status): \(upstream.message). "
            if isFinal { text += advice(upstream, credential, account) }
        case .limited(let reason, _):
            isFinal = false
            text = "Too many requests: \(reason)."
        case .timedOut(let stage):
            isFinal = false
            text = "No credentials in time (\(stage)): try again."
        case .podGone, .noGoogleServiceAccount:
            isFinal = true
            text = "The pod is gone."
        }
        return ErrorResponse.error(
            isFinal ? final : .serviceUnavailable, text, retryAfter: isFinal ? nil : retryAfter(failure) ?? 1
        ).because(RefusalCause(failure))
    }

    /// Says what has to be changed, and by whom.
    static func advice(
        _ failure: UpstreamFailure, _ credential: CloudCredential, _ account: ServiceAccountReference
    ) -> String {
        let subject = "system:serviceaccount:\(account.namespace):\(account.name)"
        if failure.upstream == .kubernetes {
            return "The request was for your Kubernetes service account (\(account)): the node needs the verb "
                + "request-serviceaccounts-token-audience for the audience of AWS, see podidentd's manifests."
        }
        return
            "Your Kubernetes service account (\(account)) asked for \(credential.identity.principal). Check that the "
            + "role exists, that its trust policy allows sts:AssumeRoleWithWebIdentity to this cluster's OIDC provider "
            + "with the condition sub = \(subject), and that the provider has the audience and the issuer."
    }
}
