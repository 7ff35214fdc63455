package import MetadataProtocol
import Tokens

// The rule that says which pods are Google's.
extension GoogleMetadataRoom {
    /// Whether a request is of Google's protocol, and not for a path of podidentd's own.
    func isGoogles(_ request: GoogleRequest) -> Bool {
        switch request.route {
        case .podUID, .podToken: false
        case .root, .directory, .redirect, .leaf, .serviceAccount: true
        }
    }

    /// The answer to a request of Google's protocol that is not for this pod; `nil`: the request is served. Either Google's
    /// protocol is not served here, or the pod's ServiceAccount names identities of other clouds alone.
    ///
    /// `account` is `nil` where it cannot be read.
    func refusal(of request: GoogleRequest, _ account: ServiceAccountRecord?) -> Response? {
        if configuration.servesGoogle, account?.googleServiceAccount != nil { return nil }
        let others = others.filter { room in
            guard let account else { return false }
            // An annotation that is wrong still says that the pod is another cloud's.
            do throws(RequestRefusal) { return try room.identity(of: account) != nil } catch { return true }
        }
        if configuration.servesGoogle, others.isEmpty { return nil }
        if request.route == .root, let root = others.lazy.compactMap(\.root).first { return root }
        let response = ErrorResponse.error(
            request.route == .root ? .notFound : .forbidden, words(account: account)
        ).because(.cloudIdentityMissing)
        return response.unflavored
    }

    private func words(account: ServiceAccountRecord?) -> String {
        guard configuration.servesGoogle, let account else {
            return "Google's metadata protocol is not served on this node: podidentd's configuration names other "
                + "clouds alone.\n"
        }
        return "Your Kubernetes service account (\(account.reference)) names an identity of another cloud and none of "
            + "Google's. Annotate it with iam.gke.io/gcp-service-account to use both.\n"
    }

    /// Takes the header by which clients know Google's server off, where that is not served.
    package func form(_ response: Response) -> Response {
        configuration.servesGoogle ? response : response.unflavored
    }
}

extension Response {
    /// The same response, which no client takes for Google's.
    fileprivate var unflavored: Response {
        var response = self
        if response.dialect.isGoogle { response.dialect = .plain }
        return response
    }
}
