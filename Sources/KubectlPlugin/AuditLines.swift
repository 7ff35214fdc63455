import FoundationEssentials
package import Operations

/// The audit streams of several agents as one, in the order of time.
package enum AuditLines {
    private struct Line: Decodable {
        var version: Int
        var time: String
        var event: String
        var node: String
    }

    /// The members of a line that a table has room for.
    private struct Row: Decodable {
        var time: String
        var node: String
        var event: String
        var namespace: String?
        var pod: String?
        var serviceAccount: String?
        var kind: String?
        var targetAccount: String?
        var result: String?
        var reason: String?
        var count: Int?

        var cells: [String] {
            let name = pod.map { "\(namespace ?? "-")/\($0)" }
            return [
                time, node, event, name ?? "-", serviceAccount ?? "-", kind ?? "-", result ?? "-", reason ?? "-",
                count.map { "\($0)" } ?? "-", targetAccount ?? "-",
            ]
        }
    }

    /// The audit lines in agents' logs, oldest first; lines of one time keep their order. Other lines of the logs are
    /// left out.
    package static func merged(_ logs: [[UInt8]]) -> [String] {
        let decoder = JSONDecoder()
        var lines: [(time: String, text: String)] = []
        for line in logs.joined(separator: [UInt8(ascii: "\n")]).split(separator: UInt8(ascii: "\n")) {
            guard line.first == UInt8(ascii: "{"), let audit = try? decoder.decode(Line.self, from: Data(line)) else {
                continue
            }
            // RFC 3339 in UTC with milliseconds: the order of texts is that of times.
            lines.append((audit.time, String(decoding: line, as: UTF8.self)))
        }
        let order = lines.indices.sorted { (lines[$0].time, $0) < (lines[$1].time, $1) }
        return order.map { lines[$0].text }
    }

    /// Audit lines with the main members of each: to whom what happened, and why.
    package static func table(_ lines: [String], on terminal: Terminal) -> String {
        var table = TextTable(columns: [
            "TIME", "NODE", "EVENT", "POD", "SERVICEACCOUNT", "KIND", "RESULT", "REASON", "COUNT",
            TextTable.Column("TARGET", fit: .end),
        ])
        let decoder = JSONDecoder()
        for line in lines {
            guard let row = try? decoder.decode(Row.self, from: Data(line.utf8)) else { continue }
            table.append(row.cells, styles: [6: row.result == "minted" ? .good : .bad])
        }
        return table.text(on: terminal)
    }

    /// Audit lines with all that they say.
    package static func trees(_ lines: [String]) -> [JSONTree] {
        let decoder = JSONDecoder()
        return lines.compactMap { try? decoder.decode(JSONTree.self, from: Data($0.utf8)) }
    }
}
