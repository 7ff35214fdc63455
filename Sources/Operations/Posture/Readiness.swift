/// Whether the agent can do its work, condition by condition.
package struct Readiness: Sendable, Equatable {
    package struct Condition: Sendable, Equatable {
        package var name: String
        /// The problem, in words without secrets; `nil`: nothing.
        package var problem: String?
        /// The evidence of the condition, where "ok" does not say it all.
        package var remark: String?

        package init(_ name: String, problem: String?, remark: String? = nil) {
            self.name = name
            self.problem = problem
            self.remark = remark
        }
    }

    package var conditions: [Condition]

    package init(_ conditions: [Condition]) {
        self.conditions = conditions
    }

    package var isReady: Bool { conditions.allSatisfy { $0.problem == nil } }

    /// A line for each condition, as the API server's own `/readyz?verbose` writes them.
    package var text: String {
        conditions.map { condition in
            condition.problem.map { "[-]\(condition.name) \($0)" } ?? "[+]\(condition.name) \(condition.remark ?? "ok")"
        }.joined(separator: "\n")
    }
}
