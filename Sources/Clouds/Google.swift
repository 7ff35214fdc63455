package import GoogleMetadata
package import GoogleTokenExchange
package import MetadataProtocol
package import Settings
package import Tokens

extension AgentConfiguration {
    /// How tokens are exchanged at Google.
    package var tokenExchange: GoogleTokenService.Configuration {
        var exchange = GoogleTokenService.Configuration(
            audience: providerAudience, version: AgentVersion.current
        )
        exchange.stsURL = stsURL
        exchange.iamCredentialsURL = iamCredentialsURL
        exchange.trustRootsPath = caFile
        return exchange
    }

    /// The answers of Google's protocol that are the same for all pods.
    package var googleMetadata: GoogleMetadataConfiguration {
        GoogleMetadataConfiguration(
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

extension CloudModules {
    /// The protocols that are served, in the order in which they are asked whose a path is: Google's takes what is left.
    package static func rooms(
        _ configuration: AgentConfiguration, _ clouds: [any CloudModule],
        instance: @escaping @Sendable () -> InstanceAttributes
    ) -> [any MetadataRoom] {
        let others = clouds.flatMap(\.rooms)
        return others + [GoogleMetadataRoom(configuration.googleMetadata, besides: others, instance: instance)]
    }
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
