import AgentTesting
import Foundation
import Lab
import MetricsTesting
import Operations

/// An answer of the agent's listener for operators.
struct OperationsResponse {
    var status: Int
    var contentType: String
    var body: String
}

extension LabWorld {
    /// Asks the agent's metrics listener, from the node.
    func operations(_ path: String, accept: String = "", options: [String] = []) async throws -> OperationsResponse {
        let result = try await Command.run(
            ["nsenter", "--net=\(node.network.path)", "--", "curl", "-sS", "--max-time", "10"] + options
                + ["-H", "Accept: \(accept)", "-w", "\n%{http_code} %{content_type}", "http://127.0.0.1:9255\(path)"])
        let mark = result.output.lastIndex(of: "\n")
        guard result.succeeded, let mark else { throw LabError("curl ended: \(result.errorOutput)") }
        let words = result.output[result.output.index(after: mark)...].split(separator: " ", maxSplits: 1)
        return OperationsResponse(
            status: Int(words[0]) ?? 0, contentType: words.count > 1 ? String(words[1]) : "",
            body: String(result.output[..<mark]))
    }

    /// The agent's metrics.
    func scrape(_ format: MetricExposition = .text) async throws -> Exposition {
        let accept = format == .openMetrics ? "application/openmetrics-text;version=1.0.0" : "text/plain"
        let answer = try await operations("/metrics", accept: accept)
        guard answer.status == 200, answer.contentType == format.contentType else {
            throw LabError("no metrics: \(answer.status) \(answer.contentType) \(answer.body)")
        }
        return try Exposition(answer.body, format)
    }
}

/// The folder of this repository.
let repositoryFolder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path

/// A file of this repository.
func repositoryFile(_ path: String) throws -> String {
    try String(contentsOfFile: "\(repositoryFolder)/\(path)", encoding: .utf8)
}
