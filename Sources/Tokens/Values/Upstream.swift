package import Attribution

/// A token that is never printed: its description, mirror and interpolation are redacted.
package struct SecretToken: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    /// The token itself. Callers name it only where it goes onto the wire.
    package let exposed: String
    /// Found out once, not for every answer.
    package let isPlainJSON: Bool

    package init(_ exposed: String) {
        self.exposed = exposed
        self.isPlainJSON = exposed.isPlainJSON
    }

    package var description: String { "[redacted]" }
    package var debugDescription: String { "[redacted]" }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// A ServiceAccount token that the API server bound to one pod.
package struct SubjectToken: Sendable {
    package var token: SecretToken
    /// The remaining life, from `status.expirationTimestamp` against the answer's own `Date`.
    package var lifetime: Duration
    /// The `jti` claim, by which the API server's audit log names the token; `nil` if it has none.
    package var id: String?

    package init(token: SecretToken, lifetime: Duration, id: String? = nil) {
        self.token = token
        self.lifetime = lifetime
        self.id = id
    }
}

/// An OAuth 2.0 access token, or an OpenID Connect identity token, as an upstream answered it.
package struct UpstreamToken: Sendable {
    package var token: SecretToken
    /// The remaining life on arrival, by the upstream's own clock.
    package var lifetime: Duration

    package init(token: SecretToken, lifetime: Duration) {
        self.token = token
        self.lifetime = lifetime
    }
}

/// The relying party that a pod-bound ServiceAccount token is for.
package enum SubjectAudience: Sendable, Hashable {
    /// The identity provider of the token exchange, whose name the issuer knows.
    case tokenExchange
    /// Another relying party, by its exact name.
    case relyingParty(String)
    /// The token service of a cloud besides Google, by the exact audience that is configured for it.
    case cloud(String)
}

/// Mints subject tokens: the Kubernetes TokenRequest API with the node's credentials.
package protocol SubjectTokenIssuing: Sendable {
    /// A fresh token bound to `pod`'s name and UID, for `audience` alone, valid for at least 3600 s.
    ///
    /// `serviceAccountUID` pins the ServiceAccount that was read (409 from the API server if it was recreated).
    func issueSubjectToken(
        for pod: PodRecord, serviceAccountUID: String, audience: SubjectAudience
    ) async throws(UpstreamFailure) -> SubjectToken
}

/// Reads ServiceAccounts with the node's credentials.
package protocol ServiceAccountReading: Sendable {
    func serviceAccount(_ reference: ServiceAccountReference) async throws(UpstreamFailure) -> ServiceAccountRecord
}

/// Google's Security Token Service (RFC 8693) and IAM Credentials.
package protocol TokenExchanging: CredentialExchanging {
    /// Exchanges a pod-bound JWT for a federated access token with `scopes`.
    func exchange(
        _ subject: SubjectToken, scopes: ScopeSet
    ) async throws(UpstreamFailure) -> UpstreamToken

    /// `generateAccessToken` as `account`, authorized by a federated token.
    func accessToken(
        as account: String, scopes: ScopeSet, quotaProject: String?, federated: UpstreamToken
    ) async throws(UpstreamFailure) -> UpstreamToken

    /// `generateIdToken` as `account` for `audience`, authorized by a federated token.
    func identityToken(
        as account: String, audience: String, quotaProject: String?, federated: UpstreamToken
    ) async throws(UpstreamFailure) -> UpstreamToken
}

/// A refusal or failure of an upstream. The message is the upstream's own words, bounded and free of secrets.
package struct UpstreamFailure: Error, Sendable, Hashable {
    package enum Upstream: Sendable, Hashable {
        case kubernetes
        case securityTokenService
        case iamCredentials
        /// The token service of a cloud besides Google.
        case cloud(CloudName)

        /// The upstreams that every agent has.
        package static let always = [kubernetes, securityTokenService, iamCredentials]

        /// The name for metrics, audit and logs.
        package var rawValue: String {
            switch self {
            case .kubernetes: "kubernetes"
            case .securityTokenService: "sts"
            case .iamCredentials: "iam"
            case .cloud(let name): name.rawValue
            }
        }
    }

    package enum Kind: String, Sendable, Hashable, CaseIterable {
        /// A final no: RBAC, IAM policy, attribute condition, Node authorizer.
        case denied
        /// The named object does not exist.
        case notFound
        /// The request cannot succeed until an operator changes a configuration: provider, audience, annotation.
        case misconfigured
        /// Too many requests.
        case rateLimited
        /// Transient: unreachable, timed out, 5xx, or an answer that is not one.
        case unavailable
        /// STS `invalid_grant`: the subject token is stale; a new one may help.
        case staleSubjectToken
    }

    package var upstream: Upstream
    package var kind: Kind
    /// The HTTP status, if there was an answer.
    package var status: Int?
    /// The failure in the upstream's words, at most 1 KiB, control characters removed.
    package var message: String
    /// `Retry-After` of the answer.
    package var retryAfter: Duration?
    /// The remedy for the cluster's administrator, where the adapter knows one; completes "has to …".
    package var remedy: String?

    package init(
        upstream: Upstream, kind: Kind, status: Int? = nil, message: String, retryAfter: Duration? = nil,
        remedy: String? = nil
    ) {
        self.upstream = upstream
        self.kind = kind
        self.status = status
        self.message = message
        self.retryAfter = retryAfter
        self.remedy = remedy
    }
}
