package import Attribution

/// The purpose of one cached token. Two requests share a token exactly when their keys are equal, so never across pods.
package struct TokenKey: Sendable, Hashable {
    /// The account that the token speaks for.
    package enum Target: Sendable, Hashable {
        /// The Kubernetes ServiceAccount itself, as a federated principal.
        case federated
        /// A Google service account, by e-mail address.
        case googleServiceAccount(String)
        /// The Kubernetes ServiceAccount itself, to a relying party that is not Google.
        case serviceAccount
        /// An identity of another cloud.
        case cloud(CloudIdentity)
    }

    package enum Kind: Sendable, Hashable {
        case accessToken(ScopeSet)
        case identityToken(audience: String)
        /// The federated token that authorizes calls to IAM Credentials. It is never served; keeping it while it
        /// lives means that a refusal by IAM, or a second audience, costs no further exchange.
        case federation
        /// The pod's own Kubernetes JWT, for a relying party of the configuration. Nothing is exchanged for it.
        case podToken(audience: String)
        /// A credential of another cloud, for a resource where that cloud wants one named.
        case cloudCredential(resource: String)
    }

    package let pod: PodUID
    /// A ServiceAccount deleted and created again under its name is another account.
    package let serviceAccountUID: String
    package let target: Target
    package let kind: Kind
    /// Billed for IAM Credentials calls; `nil` for the targets that make none.
    package let quotaProject: String?

    package init(pod: PodUID, account: ServiceAccountRecord, kind: Kind) {
        self.pod = pod
        self.serviceAccountUID = account.uid
        self.kind = kind
        if case .podToken = kind {
            self.target = .serviceAccount
            self.quotaProject = nil
        } else if let googleServiceAccount = account.googleServiceAccount {
            self.target = .googleServiceAccount(googleServiceAccount)
            self.quotaProject = account.quotaProject
        } else {
            self.target = .federated
            self.quotaProject = nil
        }
    }

    /// Hashes the kind alone: keys meet in a pod's table, where all name the same pod and hardly ever differ in the
    /// account.
    package func hash(into hasher: inout Hasher) {
        hasher.combine(kind)
    }

    package init(pod: PodUID, account: ServiceAccountRecord, credential: CloudCredential) {
        self.pod = pod
        self.serviceAccountUID = account.uid
        self.target = .cloud(credential.identity)
        self.kind = .cloudCredential(resource: credential.resource)
        self.quotaProject = nil
    }

    /// A key as another agent wrote it.
    init(pod: PodUID, serviceAccountUID: String, target: Target, kind: Kind, quotaProject: String?) {
        self.pod = pod
        self.serviceAccountUID = serviceAccountUID
        self.target = target
        self.kind = kind
        self.quotaProject = quotaProject
    }

    private init(federationFor key: TokenKey) {
        self.pod = key.pod
        self.serviceAccountUID = key.serviceAccountUID
        self.target = .federated
        self.kind = .federation
        self.quotaProject = nil
    }

    /// The key of the federated token that minting this one needs; `nil` where it is the answer, or is not needed.
    var federation: TokenKey? {
        switch target {
        case .federated, .serviceAccount, .cloud: nil
        case .googleServiceAccount: TokenKey(federationFor: self)
        }
    }

    var googleServiceAccount: String? {
        switch target {
        case .federated, .serviceAccount, .cloud: nil
        case .googleServiceAccount(let account): account
        }
    }

    /// Whether `account`, as it reads now, still names this key.
    func belongs(to account: ServiceAccountRecord) -> Bool {
        guard serviceAccountUID == account.uid else { return false }
        if kind == .federation { return true }
        if case .cloud(let identity) = target { return identity.isNamed(by: account) }
        return self == TokenKey(pod: pod, account: account, kind: kind)
    }
}

extension TokenKey {
    /// A text by which the keys of one pod can be sorted, the same in every process.
    var order: String { "\(serviceAccountUID) \(kind.order) \(target.order) \(quotaProject ?? "")" }
}

extension TokenKey.Kind {
    fileprivate var order: String {
        switch self {
        case .accessToken(let scopes): "access \(scopes.sorted.joined(separator: " "))"
        case .identityToken(let audience): "identity \(audience)"
        case .federation: "federation"
        case .podToken(let audience): "pod \(audience)"
        case .cloudCredential(let resource): "cloud \(resource)"
        }
    }
}

extension TokenKey.Target {
    fileprivate var order: String {
        switch self {
        case .federated: "federated"
        case .googleServiceAccount(let email): email
        case .serviceAccount: "self"
        case .cloud(let identity): "\(identity.cloud) \(identity.principal)"
        }
    }
}
