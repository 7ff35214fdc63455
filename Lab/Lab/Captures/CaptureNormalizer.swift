/// Makes the output of one run equal to that of the next: what differs by chance gets a fixed stand-in of the same width.
package struct CaptureNormalizer {
    private var numbers: [String: Int] = [:]
    private var counts: [String: Int] = [:]

    package init() {}

    /// UIDs, IDs of containers, cgroups and programs, names that the lab makes, times, ports and the kernel's release.
    ///
    /// Equal values get equal stand-ins, across calls.
    package mutating func normalize(_ text: String) -> String {
        var text = text
        for kind in Self.kinds { text = replace(kind, in: text) }
        return text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            String(line.reversed().drop { $0 == " " }.reversed())
        }.joined(separator: "\n")
    }

    private struct Kind {
        var name: String
        var pattern: Regex<(Substring, Substring)>
        /// The stand-in of the `n`-th value that is met, from 1.
        var standIn: @Sendable (Int) -> String
        /// Whether it takes as much room as what it replaces, so that columns stay where they are.
        var keepsWidth = true
        /// How much of a value counts, for what is also shown shortened.
        var significant = 64
    }

    private static var kinds: [Kind] {
        let cgroup: @Sendable (Int) -> String = { "\(100 + $0)" }
        return [
            Kind(
                name: "uid", pattern: /(?:\b|pod)([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b/,
                standIn: { "\(digits($0, 8))-0000-4000-8000-000000000000" }),
            Kind(
                name: "container", pattern: /\b([0-9a-f]{64})\b/,
                standIn: { digits($0, 12) + String(repeating: "c", count: 52) }, significant: 12),
            Kind(name: "container", pattern: /\ ([0-9a-f]{12})\ /, standIn: { digits($0, 12) }, significant: 12),
            Kind(name: "node", pattern: /(nidlab-[0-9]+-[0-9]+)/, standIn: { _ in "lab" }, keepsWidth: false),
            Kind(name: "port", pattern: /10\.88\.0\.1:([0-9]{5})\b/, standIn: { "\(40_000 + $0)" }),
            Kind(name: "cgroup", pattern: /\[([0-9]{2,9})\]/, standIn: cgroup, keepsWidth: false),
            Kind(name: "cgroup", pattern: /"cgroupID" : ([0-9]+)/, standIn: cgroup, keepsWidth: false),
            Kind(name: "cgroup", pattern: /cgroup\s+([0-9]{2,9})(?:,|\n)/, standIn: cgroup, keepsWidth: false),
            Kind(name: "cgroup", pattern: /(?:^|\n)([0-9]{2,9} {2,})/, standIn: cgroup),
            Kind(name: "cgroup", pattern: /:80  ([0-9]{2,9})(?:\n|$)/, standIn: cgroup, keepsWidth: false),
            Kind(name: "program", pattern: /program ([0-9]+)\ /, standIn: { "\(1000 + $0)" }, keepsWidth: false),
            Kind(name: "tag", pattern: /tag ([0-9a-f]{16})/, standIn: { digits($0, 16) }),
            Kind(name: "release", pattern: /Linux ([0-9][^ ,]+),\ /, standIn: { _ in "6.12.0" }, keepsWidth: false),
            Kind(
                name: "date", pattern: /([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z)/,
                standIn: { _ in "2026-01-01T00:00:00Z" }),
            Kind(
                name: "moment", pattern: /([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z)/,
                standIn: { _ in "2026-01-01T00:00:00.000Z" }),
            Kind(name: "seconds", pattern: /ageSeconds: ([0-9]+)/, standIn: { _ in "1" }, keepsWidth: false),
            Kind(name: "left", pattern: /expiresInSeconds: ([0-9]+)/, standIn: { _ in "3598" }, keepsWidth: false),
            Kind(name: "life", pattern: /ends in ([0-9]+) s/, standIn: { _ in "3599" }, keepsWidth: false),
            Kind(name: "expiry", pattern: /\ ([0-9]+m[0-9]+s +)/, standIn: { _ in "59m58s" }),
            Kind(name: "age", pattern: /\ ([0-9]{1,2}s +)/, standIn: { _ in "1s" }),
            Kind(name: "address", pattern: /127\.0\.0\.1:([0-9]{5})\b/, standIn: { "\(40_000 + $0)" }),
            Kind(name: "size", pattern: /, ([0-9]+) bytes/, standIn: { _ in "20480" }, keepsWidth: false),
        ]
    }

    private static func digits(_ number: Int, _ width: Int) -> String {
        String(repeating: "0", count: max(0, width - "\(number)".count)) + "\(number)"
    }

    private mutating func replace(_ kind: Kind, in text: String) -> String {
        var result = ""
        var rest = text[...]
        while let match = rest.firstMatch(of: kind.pattern) {
            let value = match.output.1
            result += rest[..<value.startIndex]
            let stand = standIn(for: value.trimmed, of: kind)
            let padding = kind.keepsWidth ? max(0, value.count - stand.count) : 0
            result += stand + String(repeating: " ", count: padding)
            rest = rest[value.endIndex...]
        }
        return result + rest
    }

    private mutating func standIn(for value: String, of kind: Kind) -> String {
        let key = "\(kind.name) \(value.prefix(kind.significant))"
        if let number = numbers[key] { return kind.standIn(number) }
        let number = counts[kind.name, default: 0] + 1
        counts[kind.name] = number
        numbers[key] = number
        return kind.standIn(number)
    }
}

extension Substring {
    fileprivate var trimmed: String { String(self.prefix { $0 != " " }) }
}
