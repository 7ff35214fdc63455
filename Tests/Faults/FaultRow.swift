import AgentTesting

/// One line of the fault table: what a fault did, and how anybody could know of it.
struct FaultRow: Sendable {
    /// The outcome that the asking pod saw.
    var sees: String
    /// How long its answer took, or its refusal.
    var answered: Duration?
    /// From the end of the fault to an answer as before.
    var recovered: Duration?
    /// A line that the agent wrote about it.
    var log: String?
    /// A counter that rose.
    var counter: String?

    func text(name: String) -> String {
        let columns = [
            "FAULT \(name)", "pod sees \(sees)", "answered in \(answered?.text ?? "-")",
            "recovered \(recovered.map { "in \($0.text)" } ?? "-")", "log \(log.map { "\"\($0)\"" } ?? "-")",
            "counter \(counter ?? "-")",
        ]
        return columns.joined(separator: " | ")
    }
}
