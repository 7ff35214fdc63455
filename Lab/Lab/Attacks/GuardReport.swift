/// The gain of an attack with a guard and without it.
package struct GuardReport: Sendable {
    package let name: String
    /// How the guard was switched off.
    package let means: String
    package let attempt: String
    package let with: String
    package let without: String
    /// The attack was held with the guard, and broke through without it.
    package let isNeeded: Bool

    package static let header = ["guard", "switched off by", "tried", "with it", "without it", ""]
        .inColumns(widths)
    private static let widths = [22, 40, 54, 40, 40, 0]

    package var line: String {
        [name, means, attempt, with, without, isNeeded ? "BREAKS" : "still held"].inColumns(Self.widths)
    }
}
