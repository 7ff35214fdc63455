/// How one client fared.
package struct ClientReport: Sendable {
    package let clientCase: ClientCase
    package let evidence: ClientEvidence
    /// The problems in sentences; empty: everything is as it must be.
    package let problems: [String]

    /// The client's own name and version; empty if it did not get that far.
    package var version: String {
        let findings = try? Finding.parse(evidence.output)
        return findings?.first { $0.name == .version }?.value ?? ""
    }

    /// The requests that the agent answered, `root 1, value 2`; a status is named unless it is 200.
    package var asked: String {
        evidence.requests.sorted { $0.key < $1.key }.map { name, count in
            let parts = name.split(separator: ".")
            let status = parts.last == "200" ? "" : " (\(parts.last ?? ""))"
            return "\(parts.first ?? "")\(status) \(count)"
        }.joined(separator: ", ")
    }
}
