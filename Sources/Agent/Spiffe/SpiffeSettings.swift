import Attribution
import Settings
import SignerExchange
import SpiffeIdentity
import SpiffeWorkload

/// Settings of the SPIFFE endpoint, checked before anything is attached.
struct SpiffeSettings: Sendable {
    /// 0: none.
    let port: UInt16
    let socket: String?
    let workload: WorkloadConfiguration
    let signer: SignerClientConfiguration

    /// - Returns: `nil` if there is no endpoint.
    /// - Throws: Which key is missing, or which file cannot be used.
    init?(_ configuration: AgentConfiguration) throws(ConfigurationError) {
        guard configuration.spiffePort != 0 || configuration.spiffeSocket != nil else { return nil }
        guard let domain = configuration.spiffeTrustDomain.flatMap({ TrustDomain($0) }) else {
            throw ConfigurationError(
                "spiffe.trust-domain is not set: SPIFFE IDs need one (spiffe.port or spiffe.socket is set)")
        }
        guard let url = configuration.spiffeSigner else {
            throw ConfigurationError(
                "spiffe.signer is not set: no other service signs (spiffe.port or spiffe.socket is set)")
        }
        port = configuration.spiffePort
        socket = configuration.spiffeSocket
        var workload = WorkloadConfiguration(
            trustDomain: domain,
            authorities: configuration.redirectEndpoints.map {
                OriginalDestination(address: $0.value, port: configuration.spiffePort)
            })
        workload.bundleInterval = .seconds(configuration.spiffeBundleSeconds) / 2
        workload.bundleSpread = .seconds(configuration.spiffeBundleSeconds) / 2
        self.workload = workload
        do throws(IssueFailure) {
            signer = try SignerClientConfiguration(
                url: url, trustDomain: domain, audience: configuration.spiffeAudience,
                trustRootsPath: configuration.spiffeAuthorities, userAgent: "podidentd/\(AgentVersion.current)")
        } catch {
            throw ConfigurationError("spiffe.ca-file: \(error.reason)")
        }
    }
}
