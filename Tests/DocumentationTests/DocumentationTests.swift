import Clouds
import Foundation
import Operations
import Settings
import Testing
import YAML

/// Everything that the documents name exists.
@Suite struct DocumentationTests {
    @Test("every relative link leads to a file, and to a heading of it")
    func links() throws {
        var count = 0
        for document in try Document.all() {
            let directory = Document.root.appendingPathComponent(document.path).deletingLastPathComponent()
            for link in document.relativeLinks {
                let parts = link.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
                let file = parts[0].isEmpty ? document.path : nil
                let target =
                    file.map { Document.root.appendingPathComponent($0) } ?? directory.appendingPathComponent(parts[0])
                #expect(FileManager.default.fileExists(atPath: target.path), "\(document.path): \(link)")
                if parts.count > 1, let text = try? String(contentsOf: target, encoding: .utf8) {
                    #expect(Document.anchors(of: text).contains(parts[1]), "\(document.path): \(link)")
                }
                count += 1
            }
        }
        #expect(count > 10)
    }

    @Test("every make target that is named exists")
    func targets() throws {
        let makefile = try Document.read("Makefile")
        let targets = Set(makefile.matches(of: /(?m)^([a-z0-9-]+):/).map { String($0.1) })
        var named: Set<String> = []
        for document in try Document.all() {
            for text in document.codeSpans + document.blockLines(["sh", "text", ""]) {
                for match in text.matches(of: /(?:^|\s|sudo )make ([a-z][a-z0-9-]*)/) {
                    #expect(targets.contains(String(match.1)), "\(document.path): make \(match.1)")
                    named.insert(String(match.1))
                }
            }
        }
        #expect(named.isSuperset(of: ["demo", "attack", "test", "soak"]))
        let listed = try Document.read("README.md") + Document.read("docs/TESTING.md")
        // Targets that are steps of others are not listed.
        let steps: Set<String> = ["help", "setup", "setup-clients", "bpf", "build", "lint"]
        for target in targets.subtracting(steps) where !target.hasSuffix("-test") {
            #expect(
                listed.contains("make \(target)`") || listed.contains("make \(target) "),
                "README.md, docs/TESTING.md: make \(target)")
        }
    }

    @Test("every configuration key that is named exists")
    func keys() throws {
        // A removed key may be named: the migration note names it.
        let keys = Set(ConfigurationKey.all.map(\.name) + RemovedKey.all.map(\.name))
        let variables = Set(ConfigurationKey.all.map(\.environmentName))
        let sections = Set(keys.filter { $0.contains(".") }.map { String($0.prefix { $0 != "." }) })
        // Words of others that look like ours.
        let foreign: Set<String> = [
            "google.subject", "kubernetes.io", "google.rpc", "metrics.md", "audit.md", "spiffe.py", "cgroup.kill",
        ]
        for document in try Document.all() {
            for text in document.codeSpans + document.blockLines(["sh"]) {
                for match in text.matches(of: /(?:^|[\s"'(])([a-z]+\.[a-z0-9-]+)(?:$|[\s=:,"')])/) {
                    let word = String(match.1)
                    guard sections.contains(String(word.prefix { $0 != "." })), !foreign.contains(word) else {
                        continue
                    }
                    #expect(keys.contains(word), "\(document.path): \(word)")
                }
                for match in text.matches(of: /PODIDENTD_[A-Z0-9_]*[A-Z0-9]/) {
                    let isTests = ["PODIDENTD_FUZZ", "PODIDENTD_LAB"].contains { String(match.0).hasPrefix($0) }
                    #expect(isTests || variables.contains(String(match.0)), "\(document.path): \(match.0)")
                }
            }
        }
    }

    @Test("docs/operate/configuration.md is what the code says")
    func reference() throws {
        let text = try Document.read("docs/operate/configuration.md")
        #expect(text.hasSuffix("\n\n" + ConfigurationKey.markdown(of: ConfigurationKey.all)), "run 'make reference'")
    }

    @Test("every alert has a section in the operations guide, and leads to it")
    func alerts() throws {
        struct Rules: Decodable {
            struct Group: Decodable { var rules: [Rule] }
            struct Rule: Decodable {
                var alert: String
                var annotations: [String: String]
            }
            var groups: [Group]
        }
        let json = try #require(try YAML.read(try Document.read("deploy/observability/alerts.yaml"))).json
        let rules = try JSONDecoder().decode(Rules.self, from: Data(json.utf8))
        let anchors = Document.anchors(of: try Document.read("docs/operate/operations.md"))
        let alerts = rules.groups.flatMap(\.rules)
        #expect(!alerts.isEmpty)
        for rule in alerts {
            let url = rule.annotations["runbook_url"] ?? ""
            #expect(url.hasSuffix("docs/operate/operations.md#\(rule.alert.lowercased())"), "\(rule.alert): \(url)")
            #expect(anchors.contains(rule.alert.lowercased()), "\(rule.alert) has no section")
        }
        // And no section is left of an alert that is gone.
        let gone = anchors.filter { $0.hasPrefix("podidentd") }.subtracting(alerts.map { $0.alert.lowercased() })
        #expect(gone.isEmpty, "\(gone)")
    }

    @Test("the capabilities that deploy/README.md explains are those of the hardened manifest")
    func capabilities() throws {
        let manifest = try Document.read("deploy/golden/kubeadm-hardened.yaml").split(separator: "\n")
        let list = manifest.drop { !$0.hasSuffix("add:") }.dropFirst().prefix { $0.contains("- ") }
        let granted = Set(list.compactMap { $0.split(separator: " ").last.map(String.init) })
        let readme = try Document.read("deploy/README.md")
        let rest = try #require(readme.components(separatedBy: "\n## Rights on the node\n").dropFirst().first)
        let section = try #require(rest.components(separatedBy: "\n## ").first)
        var explained: Set<String> = []
        for row in section.matches(of: /\n\| ([A-Z_]+(?:, [A-Z_]+)*) \|/) {
            explained.formUnion(row.1.split(separator: ", ").map(String.init))
        }
        #expect(granted.count == 7 && granted == explained)
    }

    @Test("the image's sizes are the same in each document")
    func sizes() throws {
        let readme = try Document.read("README.md")
        let sizes = try #require(readme.firstMatch(of: /image has ([\d.]+) MB compressed, ([\d.]+) MB unpacked/))
        let install = try Document.read("deploy/README.md")
        let other = try #require(
            install.firstMatch(of: /([\d.]+) MB, of which the agent is [\d.]+; ([\d.]+) MB by gzip/))
        #expect(other.1 == sizes.2 && other.2 == sizes.1)
    }
}
