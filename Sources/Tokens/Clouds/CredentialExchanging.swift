package import Attribution

/// The credential that a pod-bound JWT is exchanged for.
package struct CredentialRequest: Sendable {
    package var pod: PodRecord
    /// `nil`: the ServiceAccount itself, as Google's federation has it.
    package var identity: CloudIdentity?
    /// The scopes or the resource that the credential is for, where the cloud asks. Empty: everything.
    package var resource: String

    package init(pod: PodRecord, identity: CloudIdentity? = nil, resource: String = "") {
        self.pod = pod
        self.identity = identity
        self.resource = resource
    }
}

/// Exchanges a pod-bound JWT for a credential: the one protocol behind which each cloud's token service stands.
package protocol CredentialExchanging: Sendable {
    /// Names the token service in failures, metrics and audit.
    var upstream: UpstreamFailure.Upstream { get }
    /// The audience of the JWT. Clouds never share one.
    var subjectAudience: SubjectAudience { get }
    /// Whether the credential ends no later than the JWT.
    var endsWithSubject: Bool { get }

    func exchange(
        _ subject: SubjectToken, for request: CredentialRequest
    ) async throws(UpstreamFailure) -> UpstreamToken
}

/// The token service of a cloud besides Google.
package protocol CloudCredentialExchanging: CredentialExchanging {
    var cloud: CloudName { get }
    /// The times at which credentials are refreshed and how long they are served.
    var lifetimes: TokenServiceConfiguration.TokenPolicy { get }
}

extension CloudCredentialExchanging {
    package var upstream: UpstreamFailure.Upstream { .cloud(cloud) }
    package var endsWithSubject: Bool { false }
}

/// Google's token service answers to the same protocol; its scopes are the resource.
extension TokenExchanging {
    package var upstream: UpstreamFailure.Upstream { .securityTokenService }
    package var subjectAudience: SubjectAudience { .tokenExchange }
    package var endsWithSubject: Bool { true }

    package func exchange(
        _ subject: SubjectToken, for request: CredentialRequest
    ) async throws(UpstreamFailure) -> UpstreamToken {
        try await exchange(subject, scopes: ScopeSet(request.resource.split(separator: " ").map(String.init)))
    }
}
