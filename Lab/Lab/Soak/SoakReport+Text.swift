import Foundation

/// The report for people.
extension SoakReport {
    private static let columns: [(title: String, width: Int)] = [
        ("WINDOW", 6), ("AGENT", 5), ("REQUESTS", 8), ("RIGHT", 8), ("EXPLAINED", 9), ("WRONG", 5), ("UNEXPL.", 7),
        ("PODS", 6), ("MINTS", 6), ("RSS MiB", 7), ("ANON", 5), ("FDS", 4), ("THREADS", 7), ("NEW p50/p99 µs", 15),
        ("KEPT p50/p99 µs", 15),
    ]

    package static var header: String { row(columns.map(\.title)) }

    fileprivate static func row(_ cells: [String]) -> String {
        zip(cells, columns).map { cell, column in
            String(repeating: " ", count: max(0, column.width - cell.count)) + cell
        }.joined(separator: "  ")
    }

    /// The verdict, a line for each thing that was looked at.
    package var verdict: String {
        let width = findings.map(\.name.count).max() ?? 0
        var lines = findings.map { finding in
            let mark = finding.isGood ? "good" : finding.isTiming ? "note" : "BAD "
            let name = finding.name.padding(toLength: width, withPad: " ", startingAt: 0)
            return "\(mark)  \(name)  \(finding.text)"
        }
        lines += wrong.map { "  wrong: \($0)" } + unexplained.map { "  unexplained: \($0)" }
        let requests = windows.reduce(0) { $0 + $1.requests }
        let pods = windows.reduce(0) { $0 + $1.shortLivedPods }
        lines.append(
            "\(isGood ? "Steady" : "NOT steady"): \(requests) requests and \(pods) short-lived pods in "
                + "\(Int(seconds)) s, \(watchEnds) ended watches, one upgrade.")
        return lines.joined(separator: "\n")
    }
}

extension SoakReport.Window {
    /// The window's line of the table.
    package var line: String {
        let cells = [
            "\(number)", "\(agent)" + (isWarmUp ? "*" : ""), "\(requests)", "\(own)", "\(explained)", "\(wrong)",
            "\(unexplained)", "\(shortLivedPods)", "\(mints)",
            String(format: "%.1f", Double(residentKibibytes) / 1024),
            String(format: "%.1f", Double(anonymousKibibytes) / 1024), "\(descriptors)", "\(threads)",
            "\(newConnections.p50)/\(newConnections.p99)", "\(keptConnections.p50)/\(keptConnections.p99)",
        ]
        return SoakReport.row(cells)
    }
}
