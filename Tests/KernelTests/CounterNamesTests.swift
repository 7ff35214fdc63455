import BPF
import Foundation
import Testing

/// The names under which counters are told are those of the kernel's enumeration, in its order: a new counter in the middle
/// must not make each later one show its neighbour's value.
@Suite struct CounterNamesTests {
    @Test("every counter of enum nid_stat has its own name, at its own place")
    func order() throws {
        let path = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../bpf/include/podidentd_abi.h").standardized
        let header = try String(contentsOf: path, encoding: .utf8)
        let matches = header.matches(of: /\bNID_STAT_([A-Z0-9_]+) = (\d+),/)
        let entries = try matches.map { (name: String($0.1).lowercased(), value: try #require(Int($0.2))) }
        #expect(entries.map(\.value) == Array(0..<entries.count), "the values have gaps, or are not in order")
        #expect(entries.last?.name == "count", "the last one is the number of counters")
        #expect(entries.dropLast().map(\.name) == DatapathCounters.names)
    }
}
