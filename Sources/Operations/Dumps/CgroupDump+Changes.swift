import Text

extension CgroupDump {
    /// The changes between two dumps: a line for each cgroup that came, went or changed its state.
    package func changes(since old: CgroupDump) -> [Change] {
        let before = Dictionary(old.rows.map { ($0.cgroupID, $0) }, uniquingKeysWith: { first, _ in first })
        let after = Set(rows.map(\.cgroupID))
        let gone = old.rows.filter { !after.contains($0.cgroupID) }.map { Change(kind: .removed, row: $0) }
        let present = rows.compactMap { row -> Change? in
            guard let known = before[row.cgroupID] else { return Change(kind: .added, row: row) }
            return known == row ? nil : Change(kind: .changed, row: row)
        }
        return gone + present
    }

    package struct Change: Sendable, Equatable, CustomStringConvertible {
        package enum Kind: String, Sendable {
            case added = "+"
            case removed = "-"
            case changed = "~"
        }

        package var kind: Kind
        package var row: Row

        package var description: String {
            let pod = row.pod.map { "\(row.namespace ?? "-")/\($0)" } ?? "-"
            let container = row.container.map { " container \($0.prefix(12))" } ?? ""
            return VisibleText.name(
                "\(kind.rawValue) \(row.cgroupID) \(pod) \(row.uid)\(container) \(row.stateText) \(row.path)")
        }
    }
}
