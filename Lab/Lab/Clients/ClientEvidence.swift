/// The traces of one run of a client, and their judgement.
package struct ClientEvidence: Sendable {
    /// The pod's UID.
    package var podUID: String
    /// The Google service account that the pod acts as; `nil`: itself.
    package var account: String?
    package var exitStatus: Int32
    /// The program's standard output and error.
    package var output: String
    package var errorOutput: String
    /// The requests by the agent's counters, as ``RealClient/Requests``.
    package var requests: [String: UInt64]
    /// The callers whose tokens Cloud Storage accepted.
    package var storageCallers: [LabTokenRecord]
    /// How many tokens of this pod were exchanged. However often a client asks, one exchange serves it, also for the
    /// calls to IAM Credentials; who asks for no token causes none.
    package var exchanges: Int
    /// Connections that reached the machine's own metadata server.
    package var trapConnections: Int
    /// Connections that reached the Service of another tenant that claims the metadata server's name.
    package var tenantConnections = 0
    /// How the client wrote the metadata server; `nil` where the name server cannot tell.
    package var spellings: Set<Spelling>?

    /// Everything that is not as it must be, in sentences; empty: the client works and got its own credential.
    func problems(
        of client: RealClient, expected: RealClient.Requests, describe: (String) -> LabTokenRecord?
    ) -> [String] {
        var problems = misuses(of: client)
        if exitStatus != 0 {
            let words = errorOutput.split(separator: "\n").suffix(3).joined(separator: " / ")
            problems.append("it ended with status \(exitStatus): \(words)")
        }
        do throws(LabError) {
            let findings = try Finding.parse(output)
            problems += findings.compactMap { problem(with: $0, describe) }
            let missing = client.finds.union([.version]).subtracting(findings.map(\.name))
            let surplus = Set(findings.map(\.name)).subtracting(client.finds.union([.version]))
            problems += missing.map(\.rawValue).sorted().map { "it learned no \($0)" }
            problems += surplus.map(\.rawValue).sorted().map { "it was not expected to learn a \($0)" }
        } catch {
            problems.append(error.description)
        }
        if client.finds.contains(.object), storageCallers.isEmpty { problems.append("Cloud Storage saw no token") }
        problems += storageCallers.compactMap { problem(with: $0) }.map { "Cloud Storage saw \($0)" }
        for name in Set(expected.keys).union(requests.keys).sorted() {
            let count = requests[name] ?? 0
            let range = expected[name] ?? 0...0
            guard !range.contains(count) else { continue }
            let wanted = range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"
            problems.append("\(name): \(count) requests instead of \(wanted)")
        }
        let mints = requests.keys.contains { $0 == "access_token.200" || $0 == "identity_token.200" }
        if exchanges != (mints ? 1 : 0) { problems.append("the token service saw \(exchanges) exchanges for this pod") }
        return problems
    }

    /// The same of a client that cannot find the metadata server: it must fail, and reach no server.
    func problemsWithoutServer(of client: RealClient) -> [String] {
        var problems = misuses(of: client)
        if exitStatus == 0 { problems.append("it ended with status 0, though it cannot find the metadata server") }
        if !requests.isEmpty { problems.append("the agent answered it: \(requests.keys.sorted())") }
        if exchanges > 0 { problems.append("the token service saw \(exchanges) exchanges for this pod") }
        return problems
    }

    /// Connections to the wrong server, and names that are not the client's.
    private func misuses(of client: RealClient) -> [String] {
        var problems: [String] = []
        if trapConnections > 0 {
            problems.append("\(trapConnections) connections reached the machine's own server")
        }
        if tenantConnections > 0 {
            problems.append("\(tenantConnections) connections reached another tenant's Service")
        }
        let names = client.spellings.subtracting([.address])
        if let spellings, spellings != names {
            let texts = [spellings, names].map { $0.map(\.rawValue).sorted().joined(separator: " ") }
            problems.append("it looked up '\(texts[0])', not '\(texts[1])'")
        }
        return problems
    }

    private func problem(with finding: Finding, _ describe: (String) -> LabTokenRecord?) -> String? {
        func differs(from expected: String) -> String? {
            finding.value == expected ? nil : "\(finding.name.rawValue) is '\(finding.value)', not '\(expected)'"
        }
        switch finding.name {
        case .token, .identity:
            guard let record = describe(finding.value) else { return "its \(finding.name.rawValue) is no emulator's" }
            let isRightKind =
                finding.name == .identity
                ? record.kind == .identity(audience: ClientCase.audience)
                : record.kind == (account == nil ? .federated : .access)
            guard isRightKind else { return "its \(finding.name.rawValue) is of the kind \(record.kind)" }
            return problem(with: record).map { "it received \($0)" }
        case .project: return differs(from: LabWorld.project)
        case .email: return account.flatMap { differs(from: $0) }
        case .universe: return differs(from: "googleapis.com")
        case .listing: return differs(from: CloudStorageEmulator.objectName)
        case .object: return differs(from: CloudStorageEmulator.content)
        case .socket: return differs(from: "ipv4-mapped")
        case .resource: return differs(from: "k8s_container")
        case .detections: return differs(from: "100")
        case .complete: return differs(from: "50")
        case .failed: return differs(from: "0")
        case .version, .credential: return nil
        }
    }

    /// Says whose token it is, if it is not this pod's for its account.
    private func problem(with record: LabTokenRecord) -> String? {
        guard record.subject.podUID == podUID else { return "a token of the pod \(record.subject.podUID)" }
        guard record.account == account else { return "a token for \(record.account ?? "the pod itself")" }
        return nil
    }
}
