package import SpiffeIdentity
import X509

/// Everything that the signer is told on its command line.
package struct SignerConfiguration: Sendable {
    package var trustDomain: TrustDomain
    /// The audience of the pod-bound tokens that prove who asks.
    package var audience = "podidentd-signer"
    /// The URL that relying parties find the keys of JWT-SVIDs at; `nil`: tokens have no `iss`, and there is no discovery.
    package var issuer: String?
    package var authorityFolder: String
    package var tokenKeyFolder: String
    /// The certificate and key of the signer's own HTTPS: `tls.crt` and `tls.key`.
    package var serverFolder: String
    package var address = "0.0.0.0"
    package var port = 8443
    package var metricsPort = 8080
    /// The ServiceAccount of the agents, as NAMESPACE/NAME: its pods alone get certificates that name the metadata server.
    package var agent: String?
    /// Further claims of JWT-SVIDs.
    package var claims = ClaimConfiguration()
    /// Whether X.509-SVIDs have a subject, for servers that look at no URI.
    package var namesSubject = false
    /// The longest life of an X.509-SVID, in seconds.
    package var certificateSeconds = 86_400
    /// The life of a JWT-SVID, in seconds.
    package var tokenSeconds = 300
    /// The Lease by which one of several replicas signs PodCertificateRequests; `nil`: this process signs none.
    package var lease: (namespace: String, name: String)?
    /// Whether the holder of the Lease publishes the trust bundle in the cluster.
    package var publishesBundle = false
    /// The name of this replica in the Lease.
    package var replica = ""
    /// The share of the signer's work that one node gets; `nil`: as much as it asks for.
    package var shares: NodeShares.Limits? = NodeShares.Limits()
    /// How often the files are looked at.
    package var reloadInterval = Duration.seconds(10)

    package init(trustDomain: TrustDomain, authorityFolder: String, tokenKeyFolder: String, serverFolder: String) {
        self.trustDomain = trustDomain
        self.authorityFolder = authorityFolder
        self.tokenKeyFolder = tokenKeyFolder
        self.serverFolder = serverFolder
    }
}

extension SignerConfiguration {
    /// RFC 5280's upper bounds of the three attributes, which readers such as OpenSSL hold to.
    private static let subjectLimit = 64

    /// The subject of a pod's certificate: empty, or trust domain, namespace and ServiceAccount where each fits.
    func subject(of pod: ReviewedPod) -> DistinguishedName {
        let names = [trustDomain.name, pod.namespace, pod.serviceAccount]
        guard namesSubject, names.allSatisfy({ $0.utf8.count <= Self.subjectLimit }) else { return DistinguishedName() }
        let subject = try? DistinguishedName {
            OrganizationName(names[0])
            OrganizationalUnitName(names[1])
            CommonName(names[2])
        }
        return subject ?? DistinguishedName()
    }
}
