import Foundation
import MetricsTesting
import Operations
import Testing
import YAML

/// Files that are shipped beside the agent name what the agent has.
@Suite struct ObservabilityFilesTests {
    /// Labels that Prometheus adds to every series it scrapes.
    private static let targetLabels: Set<String> = ["job", "instance"]

    /// The labels of each series that a query may select.
    private static let series: [String: Set<String>] = {
        var series: [String: Set<String>] = ["up": targetLabels]
        for metric in MetricNames.all {
            let labels = targetLabels.union(metric.labels)
            if metric.kind == .histogram {
                series[metric.name + "_bucket"] = labels.union(["le"])
                series[metric.name + "_sum"] = labels
                series[metric.name + "_count"] = labels
            } else {
                series[metric.sampleName] = labels
            }
        }
        return series
    }()

    private func file(_ path: String) throws -> Data {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return try Data(contentsOf: root.appendingPathComponent(path))
    }

    private func check(_ expression: String, _ place: String) throws {
        let query = try Query(expression)
        var known: Set<String> = []
        for selector in query.selectors {
            let labels = try #require(Self.series[selector.metric], "\(place): there is no \(selector.metric)")
            #expect(labels.isSuperset(of: selector.labels), "\(place): \(selector)")
            known.formUnion(labels)
        }
        #expect(known.isSuperset(of: query.groupings), "\(place): \(query.groupings)")
    }

    @Test("the table of docs/operate/metrics.md is the code's")
    func table() throws {
        let text = String(decoding: try file("docs/operate/metrics.md"), as: UTF8.self)
        #expect(text.hasSuffix("\n\n" + MetricNames.table), "it must end with:\n\(MetricNames.table)")
    }

    @Test("every query of the dashboard selects what exists, and every metric of the agent is on it")
    func dashboard() throws {
        struct Dashboard: Decodable {
            struct Panel: Decodable {
                struct Target: Decodable { var expr: String; var legendFormat: String }
                struct Place: Decodable { var h: Int; var w: Int; var x: Int; var y: Int }
                var id: Int
                var title: String
                var type: String
                var gridPos: Place
                var targets: [Target]?
            }
            var title: String
            var panels: [Panel]
        }
        let dashboard = try JSONDecoder().decode(Dashboard.self, from: file("deploy/observability/dashboard.json"))
        #expect(Set(dashboard.panels.map(\.id)).count == dashboard.panels.count)
        var shown: Set<String> = []
        for panel in dashboard.panels where panel.type != "row" {
            #expect(panel.gridPos.x + panel.gridPos.w <= 24)
            let targets = try #require(panel.targets)
            #expect(!targets.isEmpty)
            for target in targets {
                try check(target.expr, panel.title)
                shown.formUnion(try Query(target.expr).selectors.map(\.metric))
            }
        }
        let missing = MetricNames.all.filter { metric in
            metric.name.hasPrefix("podidentd_") && !shown.contains { $0.hasPrefix(metric.sampleName) }
        }
        #expect(missing.isEmpty, "\(missing.map(\.name))")
    }

    @Test("every alert asks for what exists and says what to do")
    func alerts() throws {
        struct Rules: Decodable {
            struct Group: Decodable { var name: String; var rules: [Rule] }
            struct Rule: Decodable {
                var alert: String
                var expr: String
                var `for`: String?
                var labels: [String: String]
                var annotations: [String: String]
            }
            var groups: [Group]
        }
        let yaml = String(decoding: try file("deploy/observability/alerts.yaml"), as: UTF8.self)
        let json = try #require(try YAML.read(yaml)).json
        let rules = try JSONDecoder().decode(Rules.self, from: Data(json.utf8))
        let all = rules.groups.flatMap(\.rules)
        #expect(Set(all.map(\.alert)).count == all.count)
        let wanted = [
            "NotReady", "WatchStale", "CredentialExpiring", "Attack", "UpstreamErrors", "TableFull", "RestartLoop",
            "LimitsHit", "NoHooks",
        ]
        #expect(Set(all.map(\.alert)).isSuperset(of: wanted.map { "Podidentd" + $0 }))
        for rule in all {
            try check(rule.expr, rule.alert)
            #expect(["critical", "warning", "info"].contains(rule.labels["severity"]))
            #expect(rule.annotations["summary"]?.isEmpty == false && rule.annotations["description"]?.isEmpty == false)
        }
    }

    @Test("the reader of queries refuses what it does not know")
    func reader() throws {
        let query = try Query(#"sum by (le, a) (rate(x_bucket{b=~"c|d"}[5m])) / on (e) y > 0.5"#)
        #expect(query.selectors.map(\.metric) == ["x_bucket", "y"] && query.selectors[0].labels == ["b"])
        #expect(query.groupings == ["le", "a", "e"])
        for text in ["rate(x[5m]", "x)", "nonsense(x)", "x{a}", "x{a=\"b}", "rate(x[5])", "1 + 2", "x @ y"] {
            #expect(throws: Query.Problem.self, "\(text)") { try Query(text) }
        }
    }
}
