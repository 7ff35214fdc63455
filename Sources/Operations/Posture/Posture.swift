/// The findings of `podidentd check`: every protection and every right of one node, judged.
///
/// As JSON it is stable: keys are never renamed, new ones may come, and ``schema`` counts changes that break readers.
package struct Posture: Codable, Sendable, Equatable {
    package static let currentSchema = 1

    package var schema = Posture.currentSchema
    package var version: String
    package var node: String
    package var verdict: Verdict
    package var sections: [Section]

    /// - Parameters:
    ///   - version: That of the program which checked.
    ///   - node: The configured name of the node.
    ///   - isInstalled: Whether anything is pinned. What is not installed is not judged by what is missing.
    ///   - sections: What was found.
    package init(version: String, node: String, isInstalled: Bool, sections: [Section]) {
        self.version = version
        self.node = node
        self.sections = sections
        self.verdict = isInstalled ? Verdict(worstOf: sections.flatMap(\.items).map(\.state)) : .notInstalled
    }

    package struct Section: Codable, Sendable, Equatable {
        package var title: String
        package var items: [Item]

        package init(_ title: String, _ items: [Item]) {
            self.title = title
            self.items = items
        }
    }

    package struct Item: Codable, Sendable, Equatable {
        /// The name for programs: `hooks.connect6`.
        package var id: String
        package var state: State
        /// The finding, in words.
        package var found: String
        /// The meaning of the finding, and the remedy; empty where there is nothing to say.
        package var meaning: String

        package init(_ id: String, _ state: State, _ found: String, meaning: String = "") {
            self.id = id
            self.state = state
            self.found = found
            self.meaning = meaning
        }
    }

    package enum State: String, Codable, Sendable, CaseIterable {
        case ok
        /// Something does not work, or a layer of protection is missing; no pod gets what is not its own.
        case degraded
        /// A pod can reach what it must not, or the agent has rights that it must not have.
        case unsafe
        /// Could not be found out.
        case unknown
        /// Cannot be tried from where the command runs, and another item says the same. Does not count.
        case untried
    }

    package enum Verdict: String, Codable, Sendable, CaseIterable {
        case healthy
        case degraded
        case unsafe
        /// Nothing is pinned: nothing protects the pods of this node, nor is anything expected to.
        case notInstalled = "not installed"

        /// The worst of the states. One that could not be found out is not taken for good.
        init(worstOf states: [State]) {
            if states.contains(.unsafe) {
                self = .unsafe
            } else if states.allSatisfy({ $0 == .ok || $0 == .untried }) {
                self = .healthy
            } else {
                self = .degraded
            }
        }

        /// The command's exit status: 0 healthy, 1 degraded or not installed, 2 unsafe.
        package var exitStatus: Int32 {
            switch self {
            case .healthy: 0
            case .degraded, .notInstalled: 1
            case .unsafe: 2
            }
        }
    }
}
