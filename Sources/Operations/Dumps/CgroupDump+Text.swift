import Text

extension CgroupDump {
    /// The map as a table for people.
    package func table(on terminal: Terminal = .plain) -> String {
        var table = TextTable(columns: [
            "CGROUP ID", .init("NAMESPACE", fit: .end), .init("POD", fit: .end), "UID",
            .init("CONTAINER", fit: .whole, isOptional: true), .init("SERVICEACCOUNT", fit: .end, isOptional: true),
            "STATE", .init("PATH", fit: .start, isOptional: true),
        ])
        for row in rows {
            table.append(
                [
                    String(row.cgroupID), row.namespace ?? "-", row.pod ?? "-", row.uid,
                    row.container.map { String($0.prefix(12)) } ?? "-", row.serviceAccount ?? "-", row.stateText,
                    row.path,
                ], styles: [6: row.state.style])
        }
        return table.text(on: terminal)
    }

    /// One line above the table: whose map it is.
    package func summary(shown: Int? = nil) -> String {
        let (cgroups, pods) = (counted(rows.count, "cgroup"), counted(Set(rows.map(\.uid)).count, "pod"))
        let place = node.isEmpty ? "" : "node \(node), "
        let count = shown.map { $0 == rows.count ? "" : "\($0) of " } ?? ""
        return "\(place)kubepods \(VisibleText.name(kubepods)), \(count)\(cgroups) of \(pods)"
            + (source == .kernel ? ", from the kernel" : "")
    }

    /// The map as it hangs together: the kubelet's groups, below them pods, below them containers.
    package func tree(on terminal: Terminal = .plain) -> String {
        let root = TreeNode()
        for row in rows {
            let relative = row.path.hasPrefix(kubepods) ? String(row.path.dropFirst(kubepods.count)) : row.path
            var node = root
            for component in relative.split(separator: "/") { node = node.child(String(component)) }
            node.row = row
        }
        var text = terminal.styled(VisibleText.name(kubepods), .strong) + "\n"
        root.print(indent: "", on: terminal, to: &text)
        return text
    }
}

/// One cgroup of the tree; without a row where the dump names only what lies below it.
private final class TreeNode {
    private var children: [(name: String, node: TreeNode)] = []
    var row: CgroupDump.Row?

    func child(_ name: String) -> TreeNode {
        if let found = children.first(where: { $0.name == name }) { return found.node }
        let node = TreeNode()
        children.append((name, node))
        return node
    }

    func print(indent: String, on terminal: Terminal, to text: inout String) {
        for (index, child) in children.enumerated() {
            let isLast = index == children.count - 1
            text += indent + (isLast ? "└─ " : "├─ ") + child.node.label(child.name, on: terminal) + "\n"
            child.node.print(indent: indent + (isLast ? "   " : "│  "), on: terminal, to: &text)
        }
    }

    private func label(_ name: String, on terminal: Terminal) -> String {
        guard let row else { return VisibleText.name(name) }
        let id = terminal.styled("[\(row.cgroupID)]", .faint)
        if let container = row.container { return "container \(container.prefix(12)) \(id)" }
        // A cgroup below a pod's that is no container's, as runtimes make for their helpers.
        guard PodNaming.isPodLevel(row, children.isEmpty) else { return "\(VisibleText.name(name)) \(id)" }
        let pod = row.pod.map { "\(row.namespace ?? "-")/\($0)" } ?? "pod \(row.uid)"
        let account = row.serviceAccount.map { " as \($0)" } ?? ""
        return VisibleText.name(pod + account) + " \(id) " + terminal.styled(row.stateText, row.state.style)
    }
}

private enum PodNaming {
    /// Pod-level cgroups carry the UID in their own name, with dashes or, in slices, with underscores.
    static func isPodLevel(_ row: CgroupDump.Row, _ isLeaf: Bool) -> Bool {
        let name = row.path.split(separator: "/").last.map(String.init) ?? ""
        return name.replacing("_", with: "-").contains(row.uid)
    }
}

extension CgroupDump.Row {
    var stateText: String { state.rawValue + (isTerminating ? ",terminating" : "") }
}

extension CgroupDump.Row.State {
    var style: TextStyle {
        switch self {
        case .attributed, .passthrough: .good
        case .unconfirmed, .unverified: .warning
        case .denied, .finished, .staticPod: .faint
        }
    }
}
