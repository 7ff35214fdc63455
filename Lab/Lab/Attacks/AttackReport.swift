/// One attack: its attempt and its gain.
package struct AttackReport: Sendable {
    package enum Verdict: Sendable, Equatable {
        /// The attacker got what the row's expectation allows, the trap nothing, and the victim its own answers.
        case held
        /// The attack works, and nothing on this side can stop it.
        case open(reason: String)
        case broken
        /// The attack could not be made, or not be shown to work where nothing protects: says nothing about the agent.
        case notMounted(reason: String)

        /// Whether a run with this verdict is a good one.
        package var isAcceptable: Bool {
            switch self {
            case .held, .open: true
            case .broken, .notMounted: false
            }
        }

        package var text: String {
            switch self {
            case .held: "held"
            case .open(let reason): "open: \(reason)"
            case .broken: "BROKEN"
            case .notMounted(let reason): "NOT MOUNTED: \(reason)"
            }
        }
    }

    /// The row of the list of threats, such as `A14`: see docs/TESTING.md.
    package let number: String
    package let attacker: Attacker
    package let attempt: String
    package let outcome: String
    /// All that the attack program printed.
    package let output: String
    /// Whether the same attack was seen to work where nothing protects.
    package let isProven: Bool
    package let victim: String
    package let verdict: Verdict
    /// The agent's refusals and limits that rose meanwhile, by name.
    package let counters: [String: UInt64]
}

extension AttackReport {
    package static let header = line("#", "who", "tried", "got", "proven", "victim", "verdict")

    package var line: String {
        let line = Self.line(number, attacker.rawValue, attempt, outcome, isProven ? "yes" : "", victim, verdict.text)
        return verdict == .broken ? line + "\n     " + output : line
    }

    private static func line(_ columns: String...) -> String {
        columns.inColumns([4, 5, 52, 46, 6, 42, 0])
    }

    /// A table of the limits that the attacks hit: one line for each attack that hit any.
    package static func limits(_ reports: [AttackReport]) -> [String] {
        reports.filter { !$0.counters.isEmpty }.map { report in
            let counters = report.counters.sorted { $0.key < $1.key }.map { "\($0.key) +\($0.value)" }
            return [report.number, report.attempt, counters.joined(separator: ", ")].inColumns([4, 52, 0])
        }
    }
}

extension [String] {
    /// The cells of one line of a table, each padded to its column's width.
    func inColumns(_ widths: [Int]) -> String {
        zip(self, widths).map { cell, width in
            cell + String(repeating: " ", count: Swift.max(0, width - cell.count))
        }.joined(separator: " ")
    }
}
