/// The pods that get a policy: those that meet every criterion that the rule names.
package struct PolicyRule: Sendable, Hashable {
    package var policy: PodPolicy
    /// The namespaces that match. Empty: any.
    package var namespaces: Set<String>
    /// Names, in whichever namespace. Empty: any. Static pods have none, so that no name matches them.
    package var serviceAccounts: Set<String>
    /// `nil`: any.
    package var labels: LabelSelector?

    package init(
        _ policy: PodPolicy, namespaces: Set<String> = [], serviceAccounts: Set<String> = [],
        labels: LabelSelector? = nil
    ) {
        self.policy = policy
        self.namespaces = namespaces
        self.serviceAccounts = serviceAccounts
        self.labels = labels
    }

    func matches(namespace: String, serviceAccount: String, labels: [String: String]) -> Bool {
        (self.namespaces.isEmpty || self.namespaces.contains(namespace))
            && (self.serviceAccounts.isEmpty || self.serviceAccounts.contains(serviceAccount))
            && self.labels?.matches(labels) ?? true
    }
}

/// The rules in their order: the first that matches a pod decides, and a pod that none matches is attributed.
package struct PolicyTable: Sendable, Hashable {
    /// The table without rules.
    package static let attributeAll = PolicyTable([])

    package let rules: [PolicyRule]

    package init(_ rules: [PolicyRule]) {
        self.rules = rules
    }

    /// Decides for one pod. Labels are what the pod's owner wrote: where rules look at nothing else, a user who may
    /// create pods chooses among their policies.
    package func policy(namespace: String, serviceAccount: String, labels: [String: String]) -> PodPolicy {
        self.rules.first {
            $0.matches(namespace: namespace, serviceAccount: serviceAccount, labels: labels)
        }?.policy ?? .attribute
    }

    /// The keys of all labels that a rule looks at.
    package var labelKeys: Set<String> {
        Set(self.rules.flatMap { $0.labels?.requirements ?? [] }.map(\.key))
    }

    /// Whether there is a rule with this policy.
    package func names(_ policy: PodPolicy) -> Bool {
        self.rules.contains { $0.policy == policy }
    }
}
