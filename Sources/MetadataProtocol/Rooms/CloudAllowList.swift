/// Identities of a cloud that the ServiceAccounts of each namespace may name: the second lock, behind the cloud's own.
package struct CloudAllowList: Sendable, Hashable {
    package struct Entry: Sendable, Hashable {
        /// `*`: every namespace.
        package var namespace: String
        /// An identity; a `*` stands for any characters.
        package var pattern: String

        package init(namespace: String, pattern: String) {
            self.namespace = namespace
            self.pattern = pattern
        }
    }

    package let entries: [Entry]

    /// Makes the list. If it has no entries, every namespace may name every identity.
    package init(_ entries: [Entry] = []) {
        self.entries = entries
    }

    /// Reads `NAMESPACE=PATTERN`, separated by commas; `nil` if it is not that. Only the empty text is a list without entries,
    /// which allows everything.
    package init?(_ text: String) {
        var entries: [Entry] = []
        for part in text.split(separator: ",") {
            let sides = part.split(separator: "=", maxSplits: 1).map { $0.filter { $0 != " " } }
            guard sides.count == 2, !sides[0].isEmpty, !sides[1].isEmpty else { return nil }
            entries.append(Entry(namespace: sides[0], pattern: sides[1]))
        }
        guard entries.count <= 256, text.isEmpty || !entries.isEmpty else { return nil }
        self.entries = entries
    }

    package func allows(_ identity: String, in namespace: String) -> Bool {
        entries.isEmpty
            || entries.contains { entry in
                (entry.namespace == "*" || entry.namespace == namespace)
                    && Self.matches(Array(identity.utf8), Array(entry.pattern.utf8))
            }
    }

    /// Linear in both: each `*` takes as little as it can, and only the last is ever tried again.
    private static func matches(_ text: [UInt8], _ pattern: [UInt8]) -> Bool {
        var (index, position) = (0, 0)
        var retry: (index: Int, position: Int)?
        while index < text.count {
            if position < pattern.count, pattern[position] == UInt8(ascii: "*") {
                retry = (index, position + 1)
                position += 1
            } else if position < pattern.count, pattern[position] == text[index] {
                index += 1
                position += 1
            } else if let last = retry {
                retry = (last.index + 1, last.position)
                (index, position) = (last.index + 1, last.position)
            } else {
                return false
            }
        }
        return pattern[position...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
