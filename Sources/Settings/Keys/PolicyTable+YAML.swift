import Attribution
import YAML

extension PolicyTable {
    /// More rules than an operator can oversee: what needs more needs another criterion.
    private static let ruleLimit = 64
    private static let nameLimit = 64
    private static let ruleKeys = ["policy", "namespace", "service-account", "labels"]

    /// Reads a list of rules. Whatever is not exactly one is refused: a criterion that went unread would widen its rule.
    init(yaml text: String) throws(ConfigurationError) {
        let root: YAMLNode?
        do throws(YAMLError) {
            root = try YAML.read(text)
        } catch {
            throw ConfigurationError("is not YAML: \(error)")
        }
        guard let root, root.scalar?.isNull != true else {
            self = .attributeAll
            return
        }
        guard case .sequence(let items) = root else {
            throw ConfigurationError("must be a list of rules, such as [{policy: deny, namespace: kube-system}]")
        }
        guard items.count <= Self.ruleLimit else {
            throw ConfigurationError("has \(items.count) rules; at most \(Self.ruleLimit) are allowed")
        }
        var rules: [PolicyRule] = []
        for (index, item) in items.enumerated() {
            do throws(ConfigurationError) {
                rules.append(try Self.rule(item))
            } catch {
                throw ConfigurationError("rule \(index + 1): \(error)")
            }
        }
        self.init(rules)
    }

    private static func rule(_ node: YAMLNode) throws(ConfigurationError) -> PolicyRule {
        guard case .mapping(let mapping) = node else {
            throw ConfigurationError("must be a mapping with \(ruleKeys.joined(separator: ", "))")
        }
        if let unknown = mapping.entries.first(where: { !ruleKeys.contains($0.key) }) {
            throw ConfigurationError(
                "'\(unknown.key)' is not a key of a rule; known here: " + ruleKeys.joined(separator: ", "))
        }
        let choices = PodPolicy.allCases.map(\.rawValue).joined(separator: ", ")
        guard let policy = mapping["policy"]?.scalar.flatMap({ PodPolicy(rawValue: $0.string) }) else {
            throw ConfigurationError("policy '\(mapping["policy"]?.scalar?.string ?? "")' is not one of \(choices)")
        }
        guard mapping.entries.count > 1 else {
            throw ConfigurationError("would match every pod; name at least one of namespace, service-account, labels")
        }
        var rule = PolicyRule(policy)
        rule.namespaces = try names(mapping["namespace"], of: "namespace") { $0.isDNSLabel }
        rule.serviceAccounts = try names(mapping["service-account"], of: "service-account") { $0.isDNSSubdomain }
        rule.labels = try mapping["labels"].map { node throws(ConfigurationError) in try selector(node) }
        // A tenant chooses the names and labels of what is in his namespaces, not the namespace of an operator.
        guard policy != .passthrough || !rule.namespaces.isEmpty else {
            throw ConfigurationError(
                "passthrough must name a namespace, or pods of any namespace with such a service account or label reach "
                    + "the machine's own metadata server; add 'namespace: NAME', or a list of names")
        }
        return rule
    }

    private static func names(
        _ node: YAMLNode?, of key: String, isAllowed: (String) -> Bool
    ) throws(ConfigurationError) -> Set<String> {
        guard let node else { return [] }
        let items = node.sequence ?? [node]
        let names = items.compactMap(\.scalar?.string)
        guard names.count == items.count, (1...nameLimit).contains(names.count) else {
            throw ConfigurationError("\(key) must be a name, or a list of 1 to \(nameLimit) names")
        }
        if let wrong = names.first(where: { !isAllowed($0) }) {
            throw ConfigurationError("\(key) '\(wrong)' is not a name that Kubernetes allows")
        }
        return Set(names)
    }

    private static func selector(_ node: YAMLNode) throws(ConfigurationError) -> LabelSelector {
        guard let text = node.scalar?.string else {
            throw ConfigurationError("labels must be a label selector, such as \"app=x,tier notin (y, z)\"")
        }
        do throws(LabelSelectorError) {
            return try LabelSelector(text)
        } catch {
            throw ConfigurationError("labels: the selector '\(text)' \(error)")
        }
    }
}
