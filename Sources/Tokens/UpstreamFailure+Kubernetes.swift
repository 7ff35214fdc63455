extension UpstreamFailure {
    /// Whether the Node authorizer lets no node read ServiceAccounts: the feature gate that allows it is off.
    package var isServiceAccountReadForbidden: Bool {
        upstream == .kubernetes && status == 403 && message.contains("not allowed to get service accounts")
    }

    /// The remedy of ``isServiceAccountReadForbidden``, for the log and for the pod's owner. Completes "has to …".
    package static let serviceAccountReadRemedy =
        "upgrade the API server to Kubernetes 1.34 or enable its feature gate "
        + "KubeletServiceAccountTokenForCredentialProviders (1.33), or else grant the verb get on the resource "
        + "serviceaccounts (apiGroup \"\") to the group system:nodes with the optional RBAC rule of podidentd's manifests"
}
