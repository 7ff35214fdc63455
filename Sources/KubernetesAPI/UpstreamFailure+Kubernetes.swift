package import Tokens

extension UpstreamFailure {
    /// Whether the Node authorizer lets no node read ServiceAccounts: the feature gate that allows it is off.
    private var isServiceAccountReadForbidden: Bool {
        upstream == .kubernetes && status == 403 && message.contains("not allowed to get service accounts")
    }

    /// The failure with its ``remedy``, if it is that the node may not read ServiceAccounts.
    package var withServiceAccountReadRemedy: UpstreamFailure {
        guard isServiceAccountReadForbidden else { return self }
        var failure = self
        failure.remedy = Self.serviceAccountReadRemedy
        return failure
    }

    private static let serviceAccountReadRemedy =
        "upgrade the API server to Kubernetes 1.34 or enable its feature gate "
        + "KubeletServiceAccountTokenForCredentialProviders (1.33), or else grant the verb get on the resource "
        + "serviceaccounts (apiGroup \"\") to the group system:nodes with the optional RBAC rule of podidentd's manifests"
}
