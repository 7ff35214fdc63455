import Attribution
import MetadataProtocol
import Tokens

extension GoogleMetadataRoom {
    /// A pod with its account, whose credentials the backend has.
    struct AccountCredentials {
        let pod: PodRecord
        let account: ServiceAccountRecord
        let backend: any MetadataBackend

        /// The lease of an access token, the one credential that pods ask for again and again.
        func lease(on content: Content) -> TokenLease? {
            guard case .accessToken(let scopes) = content else { return nil }
            return backend.leaseOnAccessToken(for: pod, account: account, scopes: scopes)
        }

        /// `nil` if none is cached.
        func cached(_ content: Content, _ request: GoogleRequest) -> Response? {
            switch content {
            case .accessToken(let scopes):
                backend.cachedAccessToken(for: pod, account: account, scopes: scopes).map(Response.accessToken)
            case .identityToken(let audience):
                backend.cachedIdentityToken(for: pod, account: account, audience: audience).map(Response.identityToken)
            case .podToken(let audience):
                backend.cachedPodToken(for: pod, account: account, audience: audience)
                    .map { .podToken($0, request.query.alternative) }
            case .fixed, .value: nil
            }
        }

        func fetched(_ content: Content, _ request: GoogleRequest) async throws(TokenFailure) -> Response {
            switch content {
            case .accessToken(let scopes):
                return .accessToken(try await backend.accessToken(for: pod, account: account, scopes: scopes))
            case .identityToken(let audience):
                guard account.googleServiceAccount != nil else { throw .noGoogleServiceAccount(account.reference) }
                return .identityToken(try await backend.identityToken(for: pod, account: account, audience: audience))
            case .podToken(let audience):
                let token = try await backend.podToken(for: pod, account: account, audience: audience)
                return .podToken(token, request.query.alternative)
            case .fixed(let response), .value(let response):
                return response
            }
        }
    }
}
