/// What one attack tried and got.
package struct AttackReport: Sendable {
    package enum Expectation: Sendable {
        /// The attacker is served as itself: the attack was no way round.
        case ownIdentity
        /// Not a byte of an answer.
        case nothing
        /// Served as itself, or not at all.
        case ownIdentityOrNothing
        /// A service that must stay open answers.
        case service
    }

    /// R1 to A12 of `facts/threats.md`.
    package let number: String
    package let attacker: Attacker
    package let attempt: String
    package let outcome: String
    package let victim: String
    package let isHeld: Bool

    package static let header = line("#", "who", "tried", "got", "victim", "verdict")

    package var line: String {
        Self.line(number, attacker.rawValue, attempt, outcome, victim, isHeld ? "held" : "BROKEN")
    }

    private static func line(_ columns: String...) -> String {
        zip(columns, [4, 5, 50, 44, 30, 0]).map { $0.padding($1) }.joined(separator: " ")
    }
}

extension String {
    fileprivate func padding(_ width: Int) -> String {
        self + String(repeating: " ", count: Swift.max(0, width - count))
    }
}
