import Attribution
package import Settings
import SignerExchange
import SpiffeIdentity
import SpiffeWorkload

/// Settings of the SPIFFE endpoint, checked before anything is attached.
package struct SpiffeSettings: Sendable {
    /// 0: none.
    let port: UInt16
    let socket: String?
    /// The port where metadata is served through TLS, and which pod the agent is; `nil`: it is not.
    let metadata: (port: UInt16, ownPod: PodUID)?
    let workload: WorkloadConfiguration
    let certificates: CertificateWay
    let signer: SignerClientConfiguration

    /// - Returns: `nil` if there is no endpoint.
    /// - Throws: Which key is missing, or which file cannot be used.
    package init?(_ configuration: AgentConfiguration) throws(ConfigurationError) {
        guard configuration.servesSpiffe else { return nil }
        guard let domain = configuration.spiffeTrustDomain.flatMap({ TrustDomain($0) }) else {
            throw ConfigurationError(
                "spiffe.trust-domain is not set: SPIFFE IDs need one (spiffe.port, spiffe.socket or spiffe.metadata-port is set)"
            )
        }
        guard let url = configuration.spiffeSigner else {
            throw ConfigurationError(
                "spiffe.signer is not set: no other service signs (spiffe.port, spiffe.socket or spiffe.metadata-port is set)"
            )
        }
        port = configuration.spiffePort
        socket = configuration.spiffeSocket
        certificates = configuration.spiffeCertificates
        metadata = try Self.metadata(configuration)
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

    private static func metadata(
        _ configuration: AgentConfiguration
    ) throws(ConfigurationError) -> (port: UInt16, ownPod: PodUID)? {
        guard configuration.spiffeMetadataPort != 0 else { return nil }
        guard configuration.spiffeMetadataPort != configuration.spiffePort else {
            throw ConfigurationError("spiffe.metadata-port and spiffe.port are the same port")
        }
        guard let pod = configuration.podUID else {
            throw ConfigurationError(
                "pod-uid is not set: the agent's own pod gets the certificate (spiffe.metadata-port is set)")
        }
        return (configuration.spiffeMetadataPort, pod)
    }
}
