package import MetadataServer
import Settings
package import TokenExchange

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
            podTokenAudiences: Set(podTokenAudiences)
        )
    }
}
