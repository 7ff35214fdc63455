extension Simulation.Report {
    /// The report's line for people.
    package var line: String {
        let answers = statuses.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: ", ")
        let injected = faults.values.reduce(0, +)
        return
            "seed \(seed)  \(hours) h  \(checksum)  \(events) events, \(pods) pods, \(requests) requests (\(answers); "
            + "\(resets) reset), \(upstreamCalls) upstream calls, \(agents) agents, \(injected) faults, "
            + "slowest \(slowest), \(violations.count) violations"
    }
}

extension Simulation.Report {
    /// The same for programs: one object of JSON on one line.
    package var json: String {
        func table<Key: RawRepresentable<String>>(_ counts: [Key: Int]) -> String {
            let pairs = counts.sorted { $0.key.rawValue < $1.key.rawValue }
            return "{" + pairs.map { "\"\($0.key.rawValue)\":\($0.value)" }.joined(separator: ",") + "}"
        }
        let answers = statuses.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",")
        let broken = violations.map { "\"\($0.invariant.rawValue)\"" }.joined(separator: ",")
        return
            "{\"seed\":\(seed),\"hours\":\(hours),\"checksum\":\"\(checksum)\",\"events\":\(events),\"requests\":\(requests),"
            + "\"resets\":\(resets),\"pods\":\(pods),\"agents\":\(agents),\"calls\":\(upstreamCalls),"
            + "\"statuses\":{\(answers)},\"faults\":\(table(faults)),\"checks\":\(table(checks)),\"violations\":[\(broken)]}"
    }
}

extension Violation {
    package var line: String { "\(at) \(invariant.rawValue): \(text)" }
}
