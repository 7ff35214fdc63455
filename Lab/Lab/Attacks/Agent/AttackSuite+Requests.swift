import Foundation

/// R11, A9, A10, A11: requests that mean one thing here and another elsewhere. Nothing is ever passed on, so what is
/// not understood is refused, and no caller gets a token without the header.
extension AttackSuite {
    var requests: [Attack] {
        [
            exchange("R11", "the token's path after another request", RequestCase.afterAnother),
            exchange("R11", "other methods", RequestCase.otherMethods),
            exchange("R11", "other forms of the target", RequestCase.otherForms),
            exchange("R11", "//, /./, /../, %2e, %2f, %63, %00, not UTF-8", RequestCase.otherSpellings),
            exchange("R11", "ambiguous framing: lengths, chunks, line ends", RequestCase.framing),
            exchange("R11", "too long, too large, too many", RequestCase.sizes),
            exchange("A9", "the header malformed, doubled, folded, forwarded", RequestCase.otherHeaders),
            exchange("A10", "Host of another server, twice, missing", RequestCase.hosts),
        ]
    }

    /// Each case on a connection of its own; held if every answer is the expected one, and none holds a token.
    private func exchange(_ number: String, _ attempt: String, _ cases: [RequestCase]) -> Attack {
        Attack(number, .unprivileged, attempt, .text("all \(cases.count) refused as they should be")) {
            let output = try await stage.got(["exchange"] + Self.metadata + cases.map(\.bytes), .unprivileged)
            let lines = output.split(separator: "\n")
            guard lines.count == cases.count else {
                throw AttackNotMounted("\(lines.count) of \(cases.count) outcomes")
            }
            let surprises = zip(cases, lines).compactMap { requestCase, line -> String? in
                let words = line.split(separator: " ")
                let statuses = words.filter { Int($0) != nil }.joined(separator: " ")
                guard !line.contains("access_token") else { return "\(requestCase.name): a TOKEN, \(line)" }
                return statuses == requestCase.statuses || line.hasPrefix(requestCase.statuses + " ")
                    ? nil : "\(requestCase.name): \(line)"
            }
            return surprises.isEmpty
                ? "all \(cases.count) refused as they should be" : surprises.joined(separator: "; ")
        }
    }
}
