/// One RBAC rule as one binding gives it to one subject.
struct AccessGrant: Sendable, Equatable {
    enum Subject: Sendable, Equatable {
        case user(String)
        case group(String)

        func includes(_ user: KubernetesUser) -> Bool {
            switch self {
            case .user(let name): user.name == name
            case .group(let name): user.groups.contains(name)
            }
        }
    }

    var subject: Subject
    /// The namespace of a RoleBinding; `nil`: a ClusterRoleBinding.
    var namespace: String?
    var verbs: Set<String>
    var apiGroups: Set<String>
    var resources: Set<String>
    /// Empty: every name.
    var resourceNames: Set<String>

    /// `resource` with its subresource, as in `serviceaccounts/token`.
    func allows(
        _ user: KubernetesUser, verb: String, group: String, resource: String, name: String, namespace: String?
    ) -> Bool {
        func matches(_ values: Set<String>, _ value: String) -> Bool { values.contains("*") || values.contains(value) }
        return subject.includes(user)
            && (self.namespace == nil || self.namespace == namespace)
            && matches(verbs, verb) && matches(apiGroups, group) && matches(resources, resource)
            && (resourceNames.isEmpty || resourceNames.contains(name))
    }
}

extension AccessGrant {
    /// The rights that the Roles, ClusterRoles and their bindings among `objects` give. Throws for a binding to a role
    /// that is not among them.
    static func all(in objects: [JSON]) throws(LabError) -> [AccessGrant] {
        var grants: [AccessGrant] = []
        for binding in objects where ["RoleBinding", "ClusterRoleBinding"].contains(binding.kind) {
            let reference = binding["roleRef"] ?? [:]
            let isNamespaced = binding.kind == "RoleBinding"
            let role = objects.first { role in
                role.kind == reference["kind"]?.string && role.name == reference["name"]?.string
                    && (role.kind == "ClusterRole" || role.namespace == binding.namespace)
            }
            guard let role else { throw LabError("\(binding.kind) \(binding.name) names no role of this manifest") }
            for subject in (binding["subjects"]?.array ?? []).compactMap(Self.subject) {
                grants += (role["rules"]?.array ?? []).map { rule in
                    AccessGrant(
                        subject: subject, namespace: isNamespaced ? binding.namespace : nil, verbs: rule.set("verbs"),
                        apiGroups: rule.set("apiGroups"), resources: rule.set("resources"),
                        resourceNames: rule.set("resourceNames"))
                }
            }
        }
        return grants
    }

    private static func subject(_ json: JSON) -> Subject? {
        guard let name = json["name"]?.string else { return nil }
        switch json.kind {
        case "User": return .user(name)
        case "Group": return .group(name)
        case "ServiceAccount": return .user("system:serviceaccount:\(json["namespace"]?.string ?? ""):\(name)")
        default: return nil
        }
    }
}

extension JSON {
    var kind: String { self["kind"]?.string ?? "" }
    var name: String { self["metadata"]?["name"]?.string ?? "" }
    var namespace: String { self["metadata"]?["namespace"]?.string ?? "" }

    fileprivate func set(_ name: String) -> Set<String> { Set(self[name]?.strings ?? []) }
}
