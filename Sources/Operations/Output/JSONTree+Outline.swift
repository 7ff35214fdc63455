import Text

extension JSONTree {
    /// The value as a tree for people: a line for each member, collections with their members below them.
    package var outline: String { branches(prefix: "").joined(separator: "\n") + "\n" }

    private func branches(prefix: String) -> [String] {
        let members = named
        guard !members.isEmpty else { return [prefix + leaf] }
        return members.enumerated().flatMap { index, member -> [String] in
            let isLast = index == members.count - 1
            let line = prefix + (isLast ? "└─ " : "├─ ") + VisibleText.name(member.name)
            guard !member.value.named.isEmpty else { return [line + ": " + member.value.leaf] }
            return [line] + member.value.branches(prefix: prefix + (isLast ? "   " : "│  "))
        }
    }

    /// The members of a collection, those of a list by what names them best.
    private var named: [(name: String, value: JSONTree)] {
        switch self {
        case .object(let members): members.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        case .list(let items): items.enumerated().map { ($1.name ?? "\($0 + 1)", $1) }
        default: []
        }
    }

    /// The name that an object gives itself, as of a pod or a node.
    private var name: String? {
        guard case .object(let members) = self else { return nil }
        if case .text(let pod) = members["pod"] {
            guard case .text(let namespace) = members["namespace"] else { return pod }
            return "\(namespace)/\(pod)"
        }
        for key in ["name", "id", "title", "node", "uid"] {
            if case .text(let name) = members[key] { return name }
        }
        return nil
    }

    private var leaf: String {
        switch self {
        case .null: "-"
        case .boolean(let value): "\(value)"
        case .integer(let value): "\(value)"
        case .unsigned(let value): "\(value)"
        case .number(let value): "\(value)"
        case .text(let value): VisibleText.name(value)
        case .list, .object: "none"
        }
    }
}
