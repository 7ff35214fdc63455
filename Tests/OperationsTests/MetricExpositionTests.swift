import MetricsTesting
import Operations
import Testing

@Suite struct MetricExpositionTests {
    private let counter = MetricDefinition("x_calls", .counter, labels: ["route"], "Calls.")
    private let seconds = MetricDefinition("x_age_seconds", .gauge, unit: .seconds, "Age.")
    private let build = MetricDefinition("x_build", .info, labels: ["version"], "Version.")
    private let duration = MetricDefinition("x_took_seconds", .histogram, unit: .seconds, "Time.")

    private var families: [MetricFamily] {
        [
            MetricFamily(counter, [MetricSample(["a\"b\\c\nd"], .integer(18_446_744_073_709_551_615))]),
            MetricFamily(seconds, .real(0.25)),
            MetricFamily(build, [MetricSample(["1.2"], .integer(1))]),
        ]
    }

    @Test("the older format is written to the byte")
    func text() {
        #expect(
            String(decoding: MetricExposition.text.encode(families), as: UTF8.self) == #"""
                # HELP x_calls_total Calls.
                # TYPE x_calls_total counter
                x_calls_total{route="a\"b\\c\nd"} 18446744073709551615
                # HELP x_age_seconds Age.
                # TYPE x_age_seconds gauge
                x_age_seconds 0.25
                # HELP x_build_info Version.
                # TYPE x_build_info gauge
                x_build_info{version="1.2"} 1

                """#)
    }

    @Test("OpenMetrics names families without suffixes, gives units, and ends")
    func openMetrics() {
        #expect(
            String(decoding: MetricExposition.openMetrics.encode(families), as: UTF8.self) == #"""
                # HELP x_calls Calls.
                # TYPE x_calls counter
                x_calls_total{route="a\"b\\c\nd"} 18446744073709551615
                # HELP x_age_seconds Age.
                # TYPE x_age_seconds gauge
                # UNIT x_age_seconds seconds
                x_age_seconds 0.25
                # HELP x_build Version.
                # TYPE x_build info
                x_build_info{version="1.2"} 1
                # EOF

                """#)
    }

    @Test("a strict reader takes both formats", arguments: MetricExposition.allCases)
    func strict(_ format: MetricExposition) throws {
        let histogram = LatencyHistogram()
        for nanoseconds: UInt64 in [1, 10_000, 10_001, 999_999_999, 60_000_000_000] {
            histogram.observe(nanoseconds: nanoseconds)
        }
        let all = families + [MetricFamily(duration, .histogram(histogram.snapshot))]
        let read = try Exposition(String(decoding: format.encode(all), as: UTF8.self), format)
        #expect(read.value("x_calls_total", ["route": "a\"b\\c\nd"]) == 0x1p64)
        #expect(read.value("x_took_seconds_bucket", ["le": "1e-05"]) == 2)
        #expect(read.value("x_took_seconds_bucket", ["le": "2.5e-05"]) == 3)
        #expect(read.value("x_took_seconds_bucket", ["le": "1.0"]) == 4)
        #expect(read.value("x_took_seconds_bucket", ["le": "+Inf"]) == 5)
        #expect(read.value("x_took_seconds_count") == 5)
    }

    @Test("the reader refuses what is not strictly one of the formats")
    func reader() {
        for text in [
            "x 1", "x 1\n", "# TYPE x gauge\nx 1\n", "# HELP x h\n# TYPE x counter\nx 1\n",
            "# HELP x h\n# TYPE x gauge\nx 1\nx 1\n", "# HELP x h\n# TYPE x gauge\nx{a=1} 1\n",
            "# HELP x h\n# TYPE x gauge\nx\n", "# HELP x h\n# TYPE x gauge\n\nx 1\n",
        ] {
            #expect(throws: Exposition.Problem.self, "\(text)") { try Exposition(text, .text) }
        }
        #expect(throws: Exposition.Problem.self) { try Exposition("# HELP x h\n# TYPE x gauge\nx 1\n", .openMetrics) }
    }

    struct Preference: CustomTestStringConvertible, Sendable {
        var accept: String
        var format: MetricExposition
        var testDescription: String { accept }
    }

    @Test(
        "OpenMetrics is for those who prefer it",
        arguments: [
            Preference(accept: "", format: .text),
            Preference(accept: "*/*", format: .text),
            Preference(accept: "text/plain;version=0.0.4", format: .text),
            Preference(accept: "application/openmetrics-text", format: .openMetrics),
            Preference(
                accept: "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
                    + "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                format: .openMetrics),
            Preference(
                accept: "application/openmetrics-text; version=\"1.0.0\"; q=0.2, text/plain;q=0.9", format: .text),
            Preference(accept: "application/openmetrics-text;version=2.0.0", format: .text),
            Preference(accept: "application/openmetrics-text;q=0", format: .text),
            Preference(accept: "application/openmetrics-text;q=x", format: .text),
            Preference(accept: String(repeating: "application/openmetrics-text,", count: 1000), format: .text),
        ])
    func negotiation(_ preference: Preference) {
        #expect(MetricExposition(accept: preference.accept) == preference.format)
    }

    @Test("names follow the conventions of Prometheus and OpenMetrics")
    func names() {
        #expect(Set(MetricNames.all.map(\.name)).count == MetricNames.all.count)
        for metric in MetricNames.all {
            #expect(metric.name.allSatisfy { $0 == "_" || $0.isASCII && $0.isLowercase }, "\(metric.name)")
            for suffix in ["_total", "_info", "_bucket", "_sum", "_count", "_created"] {
                #expect(!metric.name.hasSuffix(suffix), "\(metric.name)")
            }
            if let unit = metric.unit { #expect(metric.name.hasSuffix("_\(unit.rawValue)")) }
            #expect(metric.help.hasSuffix(".") && !metric.help.contains("\""))
        }
    }
}
