import FoundationEssentials

/// The audit streams of several agents as one, in the order of time.
package enum AuditLines {
    private struct Line: Decodable {
        var version: Int
        var time: String
        var event: String
        var node: String
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
}
