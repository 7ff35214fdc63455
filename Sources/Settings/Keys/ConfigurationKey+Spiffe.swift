import Operations
import SpiffeIdentity

/// The way by which X.509-SVIDs are asked for.
package enum CertificateWay: String, Sendable, CaseIterable {
    /// PodCertificateRequests where they are served and allowed, the exchange otherwise.
    case automatic = "auto"
    case requests = "pod-certificate-requests"
    case exchange
}

extension ConfigurationKey {
    /// Ports with another meaning on a metadata address.
    private static let otherPorts: Set<UInt16> = [53, 80, 123]

    private static func optionalPort(_ text: String) -> UInt16? {
        if text == "off" || text == "0" { return 0 }
        return number(1...UInt16.max)(text).flatMap { otherPorts.contains($0) ? nil : $0 }
    }

    static let spiffePort = key(
        "spiffe.port", \.spiffePort, default: "off", allowed: "off, or a port from 1 to 65535 but 53, 80 and 123",
        parse: optionalPort,
        """
        The port of redirect.endpoints on which pods find the SPIFFE Workload API, such as 9256: \
        SPIFFE_ENDPOINT_SOCKET=tcp://169.254.169.254:9256. off: pods are refused there, as on every other port.
        """
    )
    static let spiffeSocket = optional(
        "spiffe.socket", \.spiffeSocket, allowed: "an absolute path of at most 107 bytes, 98 of them in its directory",
        parse: { text throws(ConfigurationError) in try socketPath(text, besides: UnixListener.longestTemporaryName) },
        """
        A Unix socket with the same API, for clients that know no other, in a directory of its own that is mounted into pods \
        (read-only). Default: none.
        """
    )
    static let spiffeMetadataPort = key(
        "spiffe.metadata-port", \.spiffeMetadataPort, default: "off",
        allowed: "off, or a port from 1 to 65535 but 53, 80 and 123", parse: optionalPort,
        """
        The port of redirect.endpoints on which the metadata server is also served through TLS, such as 443, with a \
        certificate that the signer gives to the agent's own pod (pod-uid). A client that shows a certificate must be the pod \
        that it names. off: pods are refused there, as on every other port.
        """
    )
    static let spiffeTrustDomain = optional(
        "spiffe.trust-domain", \.spiffeTrustDomain, allowed: "lower-case letters, digits, '.', '-' and '_'",
        parse: { TrustDomain($0)?.name },
        """
        The trust domain of the pods' SPIFFE IDs, spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICEACCOUNT; the signer's. No two \
        clusters share one by accident: there is no default. Required with spiffe.port or spiffe.socket.
        """
    )
    static let spiffeSigner = optional(
        "spiffe.signer", \.spiffeSigner, allowed: "an https URL without a slash at the end",
        parse: { text in url(text).flatMap { $0.hasSuffix("/") ? nil : $0 } },
        "Where podidentd-signer is, such as https://10.96.0.20:8443. Required with spiffe.port or spiffe.socket."
    )
    static let spiffeAuthorities = optional(
        "spiffe.ca-file", \.spiffeAuthorities, allowed: "an absolute path", parse: path,
        "PEM certificates to trust for the signer's own HTTPS, instead of the system's."
    )
    static let spiffeAudience = key(
        "spiffe.audience", \.spiffeAudience, default: "podidentd-signer", allowed: "a name", parse: text,
        """
        The audience of the pod-bound tokens that prove to the signer for which pod the agent asks. RBAC must allow it to the \
        node, as google.token-audience.
        """
    )
    static let spiffeBundleSeconds = key(
        "spiffe.bundle-seconds", \.spiffeBundleSeconds, default: "60", allowed: "a number from 1 to 3600",
        parse: number(1...3600),
        """
        Within what time a changed trust bundle reaches every open stream: the agent reads it twice as often, and spreads what \
        it pushes over half of it.
        """
    )
    static let spiffeCertificates = key(
        "spiffe.certificates", \.spiffeCertificates, default: CertificateWay.automatic.rawValue,
        allowed: "auto, pod-certificate-requests or exchange", parse: { CertificateWay(rawValue: $0) },
        """
        How certificates are asked for: by a PodCertificateRequest for the pod (Kubernetes 1.37; v1beta1 before, where an \
        operator has switched it on), or by the exchange with the signer. auto: the first where the API server serves it and \
        RBAC allows it, and the exchange otherwise. JWT-SVIDs always come from the exchange.
        """
    )
}

extension AgentConfiguration {
    /// Whether anything of SPIFFE is switched on.
    package var servesSpiffe: Bool { spiffePort != 0 || spiffeSocket != nil || spiffeMetadataPort != 0 }

    /// The audiences besides the clouds' for which tokens of pods are requested: the configured ones, and the signer's.
    package var relyingAudiences: Set<String> { Set(podTokenAudiences + (servesSpiffe ? [spiffeAudience] : [])) }
}
