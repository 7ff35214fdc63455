import Foundation
package import Lab

package let accountPath = "/computeMetadata/v1/instance/service-accounts/default/"
package let tokenPath = accountPath + "token"

/// An answer of the metadata endpoint as a pod saw it.
package struct MetadataResponse: Sendable {
    package var status: Int
    /// By lower-case name.
    package var headers: [String: String] = [:]
    package var body: String
    /// From the connect to the last byte, by curl's clock.
    package var duration: Duration

    package var retryAfter: Int? { headers["retry-after"].flatMap { Int($0) } }

    /// The token that the body holds, if it is one.
    package var token: TokenAnswer? {
        status == 200 ? try? JSONDecoder().decode(TokenAnswer.self, from: Data(body.utf8)) : nil
    }

    /// Reads what `curl --include --write-out '\n%{time_total}'` prints.
    package init(curl output: String) throws {
        guard let end = output.range(of: "\r\n\r\n"), let mark = output.lastIndex(where: \.isNewline),
            mark >= end.lowerBound, let seconds = Double(output[output.index(after: mark)...])
        else { throw LabError("no HTTP answer: \(output)") }
        let lines = output[..<end.lowerBound].split(separator: "\r\n")
        guard let status = lines.first?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else {
            throw LabError("no status line: \(output)")
        }
        self.status = status
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            headers[parts[0].lowercased()] = parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : ""
        }
        body = end.upperBound <= mark ? String(output[end.upperBound..<mark]) : ""
        duration = .seconds(seconds)
    }
}

extension RunningPod {
    /// Asks the metadata address for `path` on a connection of its own.
    package func ask(_ path: String = tokenPath, _ options: String...) async throws -> MetadataResponse {
        let result = try await start(Self.askCommand(path, options)).result()
        guard result.succeeded else { throw LabError("curl ended with \(result.status): \(result.errorOutput)") }
        return try MetadataResponse(curl: result.output)
    }

    package static func askCommand(_ path: String, _ options: [String] = []) -> [String] {
        ["curl", "-sS", "--include", "--max-time", "10", "-H", "Metadata-Flavor: Google", "-w", "\n%{time_total}"]
            + options + ["http://169.254.169.254\(path)"]
    }

    /// Asks for a token until the answer is as wanted, and returns it with the time that this took.
    package func ask(
        within limit: Duration, until isWanted: (MetadataResponse) -> Bool
    ) async throws -> (answer: MetadataResponse, after: Duration) {
        let start = ContinuousClock.now
        while true {
            let answer = try await ask()
            let elapsed = ContinuousClock.now - start
            if isWanted(answer) { return (answer, elapsed) }
            guard elapsed < limit * LabKernel.patience else {
                throw LabError("after \(elapsed.text) the answer is still \(answer.status) \(answer.body)")
            }
        }
    }
}

extension LabWorld {
    /// Creates a ServiceAccount; with a Google service account that it may act as, if one is named.
    package func addServiceAccount(_ name: String, impersonating email: String? = nil, namespace: String = "default") {
        var annotations: [String: String] = [:]
        if let email {
            annotations["iam.gke.io/gcp-service-account"] = email
            cluster.iamCredentials.allowImpersonation(
                of: email, by: .serviceAccount(namespace: namespace, name: name))
        }
        cluster.kubernetes.createServiceAccount(namespace: namespace, name: name, annotations: annotations)
    }

    /// The record of the pod that `answer`'s token was made for.
    package func owner(of answer: MetadataResponse) throws -> LabTokenRecord {
        guard let token = answer.token else { throw LabError("no token: \(answer.status) \(answer.body)") }
        guard let record = cluster.ledger.describe(token.accessToken) else {
            throw LabError("a token that no emulator issued")
        }
        return record
    }
}

extension Duration {
    /// Seconds with two decimals.
    package var text: String { String(format: "%.2f s", self / .seconds(1)) }
}

extension LabRequestRecord {
    /// The claims of the JWT that an exchange presents, as JSON text; empty for every other request.
    package var subjectClaims: String { request.subjectClaims }
}

extension LabRequest {
    /// The claims of the JWT that an exchange presents, as JSON text; empty for every other request.
    package var subjectClaims: String {
        let token = FormEncoding.decode(bodyText).first { $0.name == "subject_token" }?.value ?? ""
        let parts = token.split(separator: ".")
        guard parts.count == 3 else { return "" }
        let base64 = parts[1].replacing("-", with: "+").replacing("_", with: "/")
        let padded = base64 + String(repeating: "=", count: (4 - base64.count % 4) % 4)
        return Data(base64Encoded: String(padded)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
}

/// Runs `body` for every element, at most `limit` at the same time, and returns the results in order.
package func concurrently<Element: Sendable, Value: Sendable>(
    _ elements: [Element], limit: Int, _ body: @escaping @Sendable (Element) async throws -> Value
) async throws -> [Value] {
    try await withThrowingTaskGroup(of: (Int, Value).self) { group in
        var values: [(Int, Value)] = []
        for (index, element) in elements.enumerated() {
            if index >= limit, let value = try await group.next() { values.append(value) }
            group.addTask { (index, try await body(element)) }
        }
        for try await value in group { values.append(value) }
        return values.sorted { $0.0 < $1.0 }.map(\.1)
    }
}
