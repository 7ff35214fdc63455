/// A cloud that is served besides Google, by the name that configuration, metrics and audit give it.
package struct CloudName: Sendable, Hashable, CustomStringConvertible {
    /// Lower-case ASCII letters, such as `aws`.
    package let rawValue: String

    package init(_ rawValue: String) {
        self.rawValue = rawValue
    }

    package var description: String { rawValue }
}

/// An identity of another cloud that a ServiceAccount's annotations name.
package struct CloudIdentity: Sendable, Hashable {
    package let cloud: CloudName
    /// The cloud's own name of the identity: an IAM role's ARN, a client ID with its tenant.
    package let principal: String
    /// The annotations that `principal` was read from. A token stays the pod's while they read the same.
    package let annotations: [String: String]

    package init(cloud: CloudName, principal: String, annotations: [String: String]) {
        self.cloud = cloud
        self.principal = principal
        self.annotations = annotations
    }

    /// Whether `account` still names this identity.
    func isNamed(by account: ServiceAccountRecord) -> Bool {
        annotations.allSatisfy { account.annotations[$0.key] == $0.value }
    }

    /// `principal` says nearly everything, and keys are looked up for every request.
    package func hash(into hasher: inout Hasher) {
        hasher.combine(principal)
    }
}
