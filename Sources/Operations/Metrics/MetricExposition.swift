/// Writes families in the formats that Prometheus reads.
package enum MetricExposition: Sendable, Hashable, CaseIterable {
    /// Prometheus text format 0.0.4.
    case text
    /// OpenMetrics 1.0.
    case openMetrics

    package var contentType: String {
        switch self {
        case .text: "text/plain; version=0.0.4; charset=utf-8"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
        }
    }

    /// OpenMetrics if `accept` prefers it, or names it alone; else the older format, which everything reads.
    package init(accept: String) {
        var openMetrics = 0.0
        var text = 0.0
        for range in accept.utf8.count <= 4096 ? accept.split(separator: ",") : [] {
            let parts = range.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" }.lowercased() }
            var quality = 1.0
            var version: String?
            for parameter in parts.dropFirst() {
                if parameter.hasPrefix("q=") { quality = Double(parameter.dropFirst(2)) ?? 0 }
                if parameter.hasPrefix("version=") { version = parameter.dropFirst(8).filter { $0 != "\"" } }
            }
            switch parts.first {
            case "application/openmetrics-text" where version == nil || version == "1.0.0":
                openMetrics = max(openMetrics, quality)
            case "text/plain": text = max(text, quality)
            default: break
            }
        }
        self = openMetrics > 0 && openMetrics >= text ? .openMetrics : .text
    }

    package func encode(_ families: [MetricFamily]) -> [UInt8] {
        var lines = ""
        for family in families { write(family, to: &lines) }
        if self == .openMetrics { lines += "# EOF\n" }
        return Array(lines.utf8)
    }

    private func write(_ family: MetricFamily, to lines: inout String) {
        let definition = family.definition
        let name = self == .openMetrics ? definition.name : definition.sampleName
        let kind = self == .text && definition.kind == .info ? .gauge : definition.kind
        lines += "# HELP \(name) \(Self.escaped(definition.help))\n# TYPE \(name) \(kind.rawValue)\n"
        if self == .openMetrics, let unit = definition.unit { lines += "# UNIT \(name) \(unit.rawValue)\n" }
        for sample in family.samples {
            let labels = zip(definition.labels, sample.labels).map { "\($0)=\"\(Self.escaped($1))\"" }
            switch sample.value {
            case .integer(let value): Self.write(definition.sampleName, labels, "\(value)", to: &lines)
            case .real(let value): Self.write(definition.sampleName, labels, Self.number(value), to: &lines)
            case .histogram(let snapshot): Self.write(definition.name, labels, snapshot, to: &lines)
            }
        }
    }

    private static func write(
        _ name: String, _ labels: [String], _ histogram: LatencyHistogram.Snapshot, to lines: inout String
    ) {
        var count: UInt64 = 0
        for bucket in histogram.buckets {
            count += bucket.count
            write("\(name)_bucket", labels + ["le=\"\(number(bucket.bound))\""], "\(count)", to: &lines)
        }
        count += histogram.above
        write("\(name)_bucket", labels + ["le=\"+Inf\""], "\(count)", to: &lines)
        write("\(name)_sum", labels, number(histogram.seconds), to: &lines)
        write("\(name)_count", labels, "\(count)", to: &lines)
    }

    private static func write(_ name: String, _ labels: [String], _ value: String, to lines: inout String) {
        lines += labels.isEmpty ? "\(name) \(value)\n" : "\(name){\(labels.joined(separator: ","))} \(value)\n"
    }

    private static func number(_ value: Double) -> String {
        value.isFinite ? "\(value)" : value.isNaN ? "NaN" : value > 0 ? "+Inf" : "-Inf"
    }

    /// Escapes backslash, newline and quote. Help texts hold no quote, where only OpenMetrics would escape it.
    private static func escaped(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 == 0x22 || $0 == 0x5c || $0 == 0x0a }) else { return text }
        return text.replacing("\\", with: "\\\\").replacing("\n", with: "\\n").replacing("\"", with: "\\\"")
    }
}
