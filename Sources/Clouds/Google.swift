package import MetadataServer
import Settings
package import TokenExchange
package import Tokens

extension AgentConfiguration {
    /// How tokens are exchanged at Google.
    package var tokenExchange: TokenExchangeConfiguration {
        var exchange = TokenExchangeConfiguration(
            audience: providerAudience, version: AgentVersion.current
        )
        exchange.stsURL = stsURL
        exchange.iamCredentialsURL = iamCredentialsURL
        exchange.trustRootsPath = caFile
        return exchange
    }

    /// The metadata server's answers that are the same for all pods.
    package var metadataServer: MetadataServerConfiguration {
        MetadataServerConfiguration(
            projectID: projectID,
            numericProjectID: projectNumber,
            universeDomain: universeDomain,
            poolName: poolName ?? ProviderName(providerAudience).pool,
            poolProjectNumber: ProviderName(providerAudience).projectNumber,
            identityProvider: providerAudience,
            subjectTokenAudience: tokenAudience ?? providerAudience,
            podTokenAudiences: Set(podTokenAudiences),
            servesGoogle: servesGoogle
        )
    }

    /// The audience of the tokens that are exchanged at Google; `nil` where Google's protocol is not served.
    package var googleAudience: String? { servesGoogle ? tokenAudience ?? providerAudience : nil }
}

/// Stands for Google's token services where Google's protocol is not served: refuses every exchange.
package struct NoGoogleTokenExchange: TokenExchanging {
    private static let refusal = UpstreamFailure(
        upstream: .securityTokenService, kind: .misconfigured, message: "the configuration's 'clouds' lacks google")

    package init() {}

    package func exchange(_ subject: SubjectToken, scopes: ScopeSet) async throws(UpstreamFailure) -> UpstreamToken {
        throw Self.refusal
    }

    package func accessToken(
        as account: String, scopes: ScopeSet, quotaProject: String?, federated: UpstreamToken
    ) async throws(UpstreamFailure) -> UpstreamToken {
        throw Self.refusal
    }

    package func identityToken(
        as account: String, audience: String, quotaProject: String?, federated: UpstreamToken
    ) async throws(UpstreamFailure) -> UpstreamToken {
        throw Self.refusal
    }
}
