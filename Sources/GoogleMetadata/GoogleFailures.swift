import Attribution
package import MetadataProtocol
import Text
package import Tokens

/// Maps failures of a credential to a status and a text of Google's protocol.
package struct GoogleFailures: Sendable {
    private let configuration: GoogleMetadataConfiguration

    package init(_ configuration: GoogleMetadataConfiguration) {
        self.configuration = configuration
    }

    /// The credential that the caller asked for.
    package enum Credential: Sendable, Hashable {
        case accessToken
        case identityToken(audience: String)
        case podToken(audience: String)
        /// The ServiceAccount itself, for a name or a listing.
        case serviceAccount

        /// The credential that `request` is for, if it fails on the way there.
        static func of(_ request: GoogleRequest) -> Credential {
            switch request.routeClass {
            case .accessToken: .accessToken
            case .identityToken: .identityToken(audience: request.query.audience ?? "")
            case .podToken: .podToken(audience: request.query.audience ?? "")
            case .root, .directory, .value, .account, .podUID, .sessionToken, .cloudListing, .cloudCredential,
                .cloudValue,
                .unknown, .unrouted:
                .serviceAccount
            }
        }

        fileprivate var purpose: String {
            switch self {
            case .accessToken: "generate access token"
            case .identityToken: "generate identity token"
            case .podToken: "generate pod token"
            case .serviceAccount: "read the service account"
            }
        }
    }

    package func response(to failure: TokenFailure, credential: Credential) -> Response {
        answer(to: failure, credential: credential).because(RefusalCause(failure))
    }

    private func answer(to failure: TokenFailure, credential: Credential) -> Response {
        switch failure {
        case .upstream(let failure, let account, let googleAccount):
            upstream(failure, credential, account, googleAccount)
        case .limited(let reason, let retryAfter):
            ErrorResponse.error(
                .tooManyRequests, "Too many requests: \(Self.clean(reason))\n", retryAfter: retryAfter.retrySeconds)
        case .timedOut(let stage):
            ErrorResponse.error(
                .serviceUnavailable,
                "Unable to \(credential.purpose) in time (\(Self.clean(stage))). Try again.\n",
                retryAfter: 1)
        case .podGone:
            ErrorResponse.response(to: IdentityRefusal.podGone)
        case .noGoogleServiceAccount(let account):
            // The first sentence is Google's. 404 is what makes gcloud go on without an identity token.
            ErrorResponse.error(
                .notFound,
                """
                Your Kubernetes service account (\(account)) is not annotated with a target Google service account, \
                which is a requirement for retrieving Identity Tokens using Workload Identity.
                Please add the iam.gke.io/gcp-service-account=[GSA_NAME]@[PROJECT_ID] annotation to your Kubernetes \
                service account.
                Refer to https://cloud.google.com/kubernetes-engine/docs/how-to/workload-identity

                """)
        }
    }

    private func upstream(
        _ failure: UpstreamFailure,
        _ credential: Credential,
        _ account: ServiceAccountReference,
        _ googleAccount: String?
    ) -> Response {
        let origin =
            switch failure.upstream {
            case .kubernetes: "Kubernetes"
            case .securityTokenService: "Google STS"
            case .iamCredentials: "IAM"
            case .cloud(let name): name.rawValue
            }
        let message = Self.clean(failure.message)
        // Google's frame, which begins the same for IAM and is kept for the others.
        let answer = failure.status.map { "returned \($0)\(Self.reasonPhrase(of: $0))" } ?? "did not answer"
        let frame = "Unable to \(credential.purpose); \(origin) \(answer): \(message)\n"

        switch failure.kind {
        case .unavailable, .staleSubjectToken:
            return ErrorResponse.error(
                .serviceUnavailable, frame + "This may pass. Try again.\n",
                retryAfter: failure.retryAfter?.retrySeconds ?? 2)
        case .rateLimited:
            return ErrorResponse.error(
                .tooManyRequests, frame + "Try again later.\n", retryAfter: failure.retryAfter?.retrySeconds ?? 5)
        case .notFound where failure.upstream == .iamCredentials:
            return ErrorResponse.error(.notFound, frame)
        case .denied, .notFound, .misconfigured:
            let advice =
                switch failure.upstream {
                case .kubernetes: kubernetesAdvice(failure, credential, account)
                case .securityTokenService: stsAdvice(account)
                case .iamCredentials: iamAdvice(failure, credential, account, googleAccount)
                case .cloud: ""
                }
            return ErrorResponse.error(.forbidden, frame + advice)
        }
    }

    private func kubernetesAdvice(
        _ failure: UpstreamFailure, _ credential: Credential, _ account: ServiceAccountReference
    ) -> String {
        if let remedy = failure.remedy {
            return """
                Your Kubernetes service account (\(account)) cannot be used because this node may not read it.
                Your cluster administrator has to \(remedy).

                """
        }
        if failure.kind == .denied, failure.message.contains("audience") {
            let audience =
                if case .podToken(let audience) = credential { audience } else { configuration.subjectTokenAudience }
            return """
                Your Kubernetes service account (\(account)) cannot be used because this node may not request tokens \
                for the audience "\(audience)".
                Ask your cluster administrator to grant the verb request-serviceaccounts-token-audience on the \
                resource "\(audience)" (apiGroup "") to the group system:nodes.

                """
        }
        if failure.kind == .notFound {
            return "Your Kubernetes service account (\(account)), or the pod, does not exist any more.\n"
        }
        return "The request was made for your Kubernetes service account (\(account)) with this node's credentials.\n"
    }

    private func stsAdvice(_ account: ServiceAccountReference) -> String {
        """
        The token of your Kubernetes service account (\(account)) was presented to the workload identity provider \
        \(configuration.identityProvider).
        Check that the provider exists and is enabled, trusts this cluster's issuer, accepts the audience \
        "\(configuration.subjectTokenAudience)", and that its attribute condition admits the service account.

        """
    }

    private func iamAdvice(
        _ failure: UpstreamFailure,
        _ credential: Credential,
        _ account: ServiceAccountReference,
        _ googleAccount: String?
    ) -> String {
        let target = googleAccount.map { "the Google service account \($0)" } ?? "the Google service account"
        let audience =
            if case .identityToken(let audience) = credential { " for the audience \"\(audience)\"" } else { "" }
        guard failure.kind == .denied else {
            return """
                Your Kubernetes service account (\(account)) asked for \(target)\(audience). \
                Check its annotation iam.gke.io/gcp-service-account.

                """
        }
        let principal = ServiceAccountView.principal(of: account, configuration)
        return """
            This error could be caused by a missing IAM policy binding on the target IAM service account.
            For more information, refer to the Workload Identity documentation:
            \thttps://cloud.google.com/kubernetes-engine/docs/how-to/workload-identity#authenticating_to

            Your Kubernetes service account (\(account)) asked for \(target)\(audience). \
            Grant roles/iam.workloadIdentityUser on it to \(principal).

            """
    }

    private static func reasonPhrase(of status: Int) -> String {
        switch status {
        case 409: " Conflict"
        case 422: " Unprocessable Entity"
        case 500: " Internal Server Error"
        case 502: " Bad Gateway"
        case 504: " Gateway Timeout"
        default: Response.Status(rawValue: status).map { " \($0.reasonPhrase)" } ?? ""
        }
    }

    /// The text without control characters, cut to 1 KiB: the words come from another machine.
    private static func clean(_ text: String) -> String {
        VisibleText.blankingControls(String(decoding: text.utf8.prefix(1024), as: UTF8.self))
    }
}

extension Duration {
    /// Whole seconds for `Retry-After`: rounded up, from 1 second to 1 hour.
    fileprivate var retrySeconds: Int {
        let (seconds, attoseconds) = components
        return Int(min(max(seconds + (attoseconds > 0 ? 1 : 0), 1), 3600))
    }
}
