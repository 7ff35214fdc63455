/// One thing that a client program learned: a line `name value` of its output.
package struct Finding: Sendable, Equatable {
    /// The facts that a program may have learned.
    package enum Name: String, Sendable, Hashable, CaseIterable {
        /// The client's name and version.
        case version
        /// An access token.
        case token
        /// An identity token for ``ClientCase/audience``.
        case identity
        case project
        case email
        case universe
        /// The name of an object in the bucket.
        case listing
        /// The name of a credential that is no secret: an access key's.
        case credential
        /// The content of an object.
        case object
        /// The kind of socket that the client used.
        case socket
        /// The kind of machine on which the client believes to be.
        case resource
        /// How many processes found themselves on GCE.
        case detections
        /// Requests that ab completed, and that it counts as failed.
        case complete
        case failed
    }

    package var name: Name
    package var value: String

    package init(_ name: Name, _ value: String) {
        self.name = name
        self.value = value
    }

    /// Reads a program's output.
    /// - Throws: A sentence with the first line that is not a finding.
    package static func parse(_ output: String) throws(LabError) -> [Finding] {
        var findings: [Finding] = []
        for line in output.split(separator: "\n") {
            let parts = line.split(separator: " ", maxSplits: 1)
            guard parts.count == 2, let name = Name(rawValue: String(parts[0])) else {
                throw LabError("'\(line.prefix(80))' is not a line 'name value'")
            }
            findings.append(Finding(name, String(parts[1])))
        }
        return findings
    }
}
