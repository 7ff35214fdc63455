import AgentTesting
import Foundation
import Testing

/// The promises of docs/operate/faults.md about each fault.
enum FaultDocument {
    struct Row {
        var log: String
        var counter: String
    }

    /// The rows of the first table, by the fault's name.
    static func rows() throws -> [String: Row] {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(
            path: "../../../docs/operate/faults.md")
        let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
        return lines.reduce(into: [:]) { rows, line in
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            guard cells.count == 5 else { return }
            rows[cells[0]] = Row(log: words(cells[3]), counter: words(cells[4]))
        }
    }

    private static func words(_ cell: String) -> String {
        cell.trimmingCharacters(in: ["`"])
    }

    /// Expects that `row` is what the document says.
    static func expect(_ row: FaultRow, of name: String) throws {
        let promised = try #require(try rows()[name], "docs/operate/faults.md does not know '\(name)'")
        // A dash: nothing is logged of it.
        #expect(
            promised.log == "-" ? row.log == nil : row.log?.contains(promised.log) == true,
            "\(name): docs/operate/faults.md says '\(promised.log)'")
        #expect(
            row.counter?.hasPrefix(promised.counter) == true,
            "\(name): docs/operate/faults.md says '\(promised.counter)'")
    }
}
