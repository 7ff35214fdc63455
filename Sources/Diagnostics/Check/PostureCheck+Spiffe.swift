import BPF
import Glibc
import KubernetesAPI
import Operations
import Settings
import Tokens

/// The way by which pods of this node get X.509-SVIDs.
extension PostureCheck {
    /// One item, or none without a Unix socket of SPIFFE: whether the kernel tells whose its connections are.
    func spiffeSocketPeers(_ layout: CgroupLayoutFinding) -> [Posture.Item] {
        guard configuration.spiffeSocket != nil else { return [] }
        let id = "kernel.unix-peers"
        guard let cgroups = layout.cgroups else {
            return [
                Posture.Item(id, .unknown, "could not try whether the kernel tells the cgroups of Unix connections")
            ]
        }
        do throws(BPFError) {
            try UnixPeerCgroups().verify(by: cgroups)
            return [Posture.Item(id, .ok, "both ends of Unix connections are known by their cgroups")]
        } catch {
            guard error.errorNumber != EPERM else {
                return [
                    Posture.Item(
                        id, .unknown,
                        "could not try whether the kernel tells the cgroups of Unix connections: \(error)",
                        meaning: "Trying needs root with CAP_BPF and CAP_PERFMON, and no lockdown.")
                ]
            }
            return [
                Posture.Item(
                    id, .degraded, "the kernel does not tell the cgroups of Unix connections: \(error)",
                    meaning: "The agent does not listen on spiffe.socket. Pods reach the same API by spiffe.port.")
            ]
        }
    }

    /// One item, or none without SPIFFE.
    func certificateWay(_ client: KubernetesClient) async -> [Posture.Item] {
        guard configuration.servesSpiffe else { return [] }
        let id = "credentials.certificates"
        guard configuration.spiffeCertificates != .exchange else {
            return [Posture.Item(id, .ok, "by the exchange with the signer (spiffe.certificates)")]
        }
        do throws(UpstreamFailure) {
            guard let version = try await client.podCertificateVersion() else { return [absent(id)] }
            let way = "by PodCertificateRequests of \(version.groupVersion)"
            // Kubernetes 1.36 asks for no right: every node may name every signer.
            guard version == .v1 else { return [Posture.Item(id, .ok, way)] }
            let question = AccessReviewRequest(
                verb: PodCertificateSignerName.verb,
                resource: PodCertificateSignerName.resource(PodCertificateSignerName.spiffe),
                group: PodCertificateSignerName.group)
            guard try await client.isAllowed(question) else { return [forbidden(id)] }
            return [Posture.Item(id, .ok, way)]
        } catch {
            return [Posture.Item(id, .unknown, "the API server does not say what it serves: \(error.message)")]
        }
    }

    private func absent(_ id: String) -> Posture.Item {
        let fact = "the API server serves no PodCertificateRequests (certificates.k8s.io/v1 since Kubernetes 1.37)"
        guard configuration.spiffeCertificates == .requests else {
            return Posture.Item(id, .ok, "by the exchange with the signer: \(fact)")
        }
        return Posture.Item(
            id, .degraded, fact, meaning: "No pod gets a certificate: spiffe.certificates allows no other way.")
    }

    private func forbidden(_ id: String) -> Posture.Item {
        let fact = "RBAC does not let this node create PodCertificateRequests for every pod"
        let remedy =
            "A rule is missing, or names some namespaces alone: "
            + PodCertificateClient.remedy(PodCertificateSignerName.spiffe) + "."
        guard configuration.spiffeCertificates == .requests else {
            return Posture.Item(id, .unknown, "by the exchange with the signer: \(fact)", meaning: remedy)
        }
        return Posture.Item(id, .degraded, fact, meaning: "Pods get no certificate. \(remedy)")
    }
}
