package import SpiffeIdentity

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
    /// The longest life of an X.509-SVID, in seconds.
    package var certificateSeconds = 86_400
    /// The life of a JWT-SVID, in seconds.
    package var tokenSeconds = 300
    /// How often the files are looked at.
    package var reloadInterval = Duration.seconds(10)

    package init(trustDomain: TrustDomain, authorityFolder: String, tokenKeyFolder: String, serverFolder: String) {
        self.trustDomain = trustDomain
        self.authorityFolder = authorityFolder
        self.tokenKeyFolder = tokenKeyFolder
        self.serverFolder = serverFolder
    }
}
