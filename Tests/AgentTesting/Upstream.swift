package import Lab

/// A server that the agent depends on.
package enum Upstream: String, Sendable, CaseIterable {
    case kubernetes
    case sts
    case iam

    package func server(_ cluster: LabCluster) -> LabHTTPServer {
        switch self {
        case .kubernetes: cluster.kubernetesServer
        case .sts: cluster.securityTokenServiceServer
        case .iam: cluster.iamCredentialsServer
        }
    }

    package func clock(_ cluster: LabCluster) -> LabClock {
        switch self {
        case .kubernetes: cluster.kubernetes.clock
        case .sts: cluster.securityTokenService.clock
        case .iam: cluster.iamCredentials.clock
        }
    }

    /// How the answer to a pod names it.
    package var name: String {
        switch self {
        case .kubernetes: "Kubernetes"
        case .sts: "Google STS"
        case .iam: "IAM"
        }
    }
}
