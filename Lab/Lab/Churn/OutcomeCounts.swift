/// Counts of exchanges, by the expected outcome of each.
package struct OutcomeCounts: Sendable {
    /// Answers as they should be: the caller's own token, or the documented answer.
    package var own = 0
    /// Answers to pods that were being deleted: 403, "is gone".
    package var gone = 0
    /// Answers to pods whose record had not come: 503 with the documented text.
    package var tooNew = 0
    package var denied = 0
    /// Cases of another pod's credentials, in words.
    package var wrong: [String] = []
    /// Everything else, in words.
    package var unexplained: [String] = []

    package init() {}

    package var total: Int { own + gone + tooNew + denied + wrong.count + unexplained.count }

    package mutating func add(_ other: OutcomeCounts) {
        own += other.own
        gone += other.gone
        tooNew += other.tooNew
        denied += other.denied
        wrong += other.wrong
        unexplained += other.unexplained
    }
}
