import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// `kubectl podidentd` by the real kubectl, against two nodes of which one is down.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct PluginTests {
    private static let pod = "shop/web-1"

    /// Runs `body` beside a cluster where the user has the rights that the page names, and no others.
    private func withCluster(_ body: (LabWorld, PluginCluster) async throws -> Void) async throws {
        let page = try repositoryFile("docs/operate/kubectl.md")
        let roles = String(try #require(page.firstMatch(of: /(?s)```yaml\n(.*?)```/)).1)
        try await withWorld { world in
            try await PluginCluster.run(in: world, repository: repositoryFolder, rights: roles) { cluster in
                try await body(world, cluster)
            }
        }
    }

    private func json(_ cluster: PluginCluster, _ arguments: String...) async throws -> JSON {
        let result = try await cluster.kubectl(["podidentd"] + arguments + ["--output", "json"])
        #expect(result.status == 1, "a node that is down is no success: \(result.errorOutput)")
        return try JSON(parsing: result.output.utf8)
    }

    @Test("kubectl finds the plugin, and status names what both nodes are, the silent one with the reason")
    func status() async throws {
        try await withCluster { world, cluster in
            let listed = try await cluster.kubectl(["plugin", "list"])
            #expect(listed.succeeded && listed.output.contains("/kubectl-podidentd"))
            let nodes = try #require(try await json(cluster, "status")["nodes"]?.array)
            #expect(nodes.map { $0["node"]?.string } == [LabWorld.nodeName, PluginCluster.nodeDown])
            let up = nodes[0]
            #expect(up["error"] == nil && up["isReady"] == true && up["verdict"]?.string == "healthy")
            #expect(up["pods"]?.integer == 1 && up["attributedPods"]?.integer == 1)
            #expect(up["hooks"]?["ok"] == up["hooks"]?["all"] && (up["hooks"]?["all"]?.integer ?? 0) > 5)
            #expect(up["guards"]?["ok"] == up["guards"]?["all"] && up["oldestTokenSeconds"] != nil)
            let down = nodes[1]
            #expect(down["isReady"] == false && down["version"] == nil)
            #expect(down["error"]?.string?.contains("connection refused") == true)
            let table = try await cluster.kubectl(["podidentd", "status"])
            #expect(table.status == 1 && table.output.hasPrefix("NODE ") && !table.output.contains("\u{1b}"))
            #expect(table.output.split(separator: "\n").count == 3)
        }
    }

    @Test("explain asks the agent of the pod's node, and says when that node does not answer or has no such pod")
    func explain() async throws {
        try await withCluster { world, cluster in
            let text = try await cluster.kubectl(["podidentd", "explain", Self.pod])
            #expect(text.succeeded && text.output.contains("\(Self.pod) gets its identity"), "\(text)")
            let form = try await cluster.kubectl(["podidentd", "explain", Self.pod, "-o", "json"])
            let explanation = try JSONDecoder().decode(Explanation.self, from: Data(form.output.utf8))
            #expect(explanation.cause == nil && explanation.node == LabWorld.nodeName)
            let ghost = try await cluster.kubectl(["podidentd", "explain", "shop/ghost"])
            #expect(ghost.status == 69 && ghost.errorOutput.contains("not found"), "\(ghost)")
            let wrong = try await cluster.kubectl(["podidentd", "explain", "--output", "json", "a/b/c"])
            #expect(wrong.status == 64)
            // The agent's own pod on the node that is down stands for any pod there.
            let down = try await cluster.kubectl(["podidentd", "explain", "podidentd/podidentd-zw4qn"])
            #expect(down.status == 69 && down.errorOutput.contains("connection refused"), "\(down)")
        }
    }

    @Test("cgroups, tokens, connections and check say node by node what each agent says", arguments: ["json", "yaml"])
    func nodes(_ form: String) async throws {
        try await withCluster { world, cluster in
            let commands = [
                ["cgroups", "--namespace", "shop"], ["tokens", "--pod", "web-1"], ["connections"], ["check", "--all"],
            ]
            for command in commands {
                let table = try await cluster.kubectl(["podidentd"] + command)
                #expect(table.status == 1, "\(command)")
                #expect(table.output.contains("NODE \(LabWorld.nodeName) (podidentd/podidentd-k8x2v)\n"))
                let silent = "NODE \(PluginCluster.nodeDown) (podidentd/podidentd-zw4qn)\nno answer: "
                #expect(table.output.contains(silent))
                let result = try await cluster.kubectl(["podidentd"] + command + ["-o", form])
                guard form == "json" else {
                    #expect(result.output.hasPrefix("nodes:\n  - answer:\n"), "\(result.output)")
                    continue
                }
                let nodes = try #require(try JSON(parsing: result.output.utf8)["nodes"]?.array)
                #expect(nodes.count == 2 && nodes[0]["answer"]?.members != nil && nodes[0]["error"] == nil)
                #expect(nodes[1]["answer"] == nil && nodes[1]["error"]?.string?.contains("refused") == true)
            }
            let one = try await cluster.kubectl(["podidentd", "check", LabWorld.nodeName])
            #expect(one.succeeded && one.output.contains("healthy"), "\(one)")
            #expect(try await cluster.kubectl(["podidentd", "check"]).status == 64)
            let nobody = try await cluster.kubectl(["podidentd", "cgroups", "--node", "ghost"])
            #expect(nobody.status == 69 && nobody.errorOutput.contains("no agent runs on node ghost"))
        }
    }

    @Test("top has the pods of the nodes that answer in one table, and names the one that does not")
    func top() async throws {
        try await withCluster { world, cluster in
            let nodes = try #require(try await json(cluster, "top", "--once")["nodes"]?.array)
            #expect(nodes.map { $0["node"]?.string } == [LabWorld.nodeName, PluginCluster.nodeDown])
            let pods = try #require(nodes[0]["answer"]?["pods"]?.array)
            #expect(pods.count == 1 && pods[0]["pod"]?.string == "web-1" && pods[0]["requests"]?.integer == 1)
            #expect(nodes[1]["answer"] == nil && nodes[1]["error"]?.string?.contains("refused") == true)
            let table = try await cluster.kubectl(["podidentd", "top", "--count", "1", "--interval", "1"])
            #expect(table.status == 1 && table.output.hasPrefix("NODE    NAMESPACE  POD"), "\(table)")
            #expect(table.output.contains("\(LabWorld.nodeName)  shop       web-1"))
            #expect(
                table.output.contains("node \(PluginCluster.nodeDown): no answer: ") && !table.output.contains("\u{1b}")
            )
            let one = try await cluster.kubectl(["podidentd", "top", "--once", "--node", LabWorld.nodeName])
            #expect(one.succeeded && one.output.split(separator: "\n").count == 2, "\(one)")
            #expect(try await cluster.kubectl(["podidentd", "top", "--interval", "30"]).status == 64)
        }
    }

    @Test("the plugin needs all rights that the page names, and is refused what they do not grant")
    func rights() async throws {
        try await withCluster { world, cluster in
            for command in [["status"], ["explain", Self.pod], ["audit"]] {
                let result = try await cluster.kubectl(["podidentd"] + command)
                #expect(!(result.output + result.errorOutput).contains("forbidden"), "\(command): \(result)")
            }
            let path = "\(world.node.directory)/\(PluginCluster.rightsFile)"
            let rights = try JSON(parsing: try String(contentsOfFile: path, encoding: .utf8).utf8)
            #expect(rights["granted"]?.array?.count == 6 && rights["granted"] == rights["used"], "\(rights)")
            for other in [["get", "pods", "--namespace", "shop"], ["get", "configmaps", "--namespace", "podidentd"]] {
                let result = try await cluster.kubectl(other)
                #expect(result.status == 1 && result.errorOutput.contains("is forbidden"), "\(result)")
            }
        }
    }

    @Test("on a terminal the plugin says how many nodes have answered, and takes it back; elsewhere it says nothing")
    func progress() async throws {
        try await withCluster { world, cluster in
            let command = ["podidentd", "tokens"]
            let drawn = try await cluster.kubectlOnTerminal(command)
            #expect(drawn.status == 1, "\(drawn)")
            let words = "nodes have answered"
            let begin = try #require(drawn.output.firstRange(of: "\r1 of 2 \(words)"), "\(drawn)")
            let end = try #require(drawn.output.firstRange(of: "\r2 of 2 \(words)\r\u{1b}[K"), "\(drawn)")
            let answer = try #require(drawn.output.firstRange(of: "NODE"), "\(drawn)")
            #expect(begin.upperBound <= end.lowerBound && end.upperBound <= answer.lowerBound)
            let silent = try await cluster.kubectl(command)
            #expect(!silent.errorOutput.contains(words) && !silent.output.contains(words), "\(silent)")
        }
    }

    @Test("audit prints the lines of the nodes that answer, and bundle packs what each has, without a token")
    func records() async throws {
        try await withCluster { world, cluster in
            let audit = ["podidentd", "audit", "--since", "5m"]
            let asJSON = try await cluster.kubectl(audit + ["--output", "json"])
            #expect(asJSON.status == 1 && asJSON.errorOutput.contains("node \(PluginCluster.nodeDown) gave no log"))
            let lines = try asJSON.output.split(separator: "\n").map { try JSON(parsing: $0.utf8) }
            #expect(lines.contains { $0["event"]?.string == "mint" && $0["pod"]?.string == "web-1" })
            let table = try await cluster.kubectl(audit)
            #expect(table.status == 1 && table.output.hasPrefix("TIME  "), "\(table)")
            #expect(table.output.contains("  \(Self.pod)  web "), "\(table)")
            let asYAML = try await cluster.kubectl(audit + ["--output", "yaml"])
            #expect(asYAML.output.hasPrefix("lines:\n  - "), "\(asYAML)")
            let path = world.node.directory + "/cluster.tar"
            let bundle = try await cluster.kubectl(["podidentd", "bundle", "--file", path])
            #expect(bundle.status == 1 && bundle.output.hasPrefix("wrote \(path), "), "\(bundle)")
            let listed = try await Command.require(["tar", "-tf", path])
            #expect(
                listed == "status.txt\n\(LabWorld.nodeName).tar\n\(PluginCluster.nodeDown).error.txt\n", "\(listed)")
            let inner = try await Command.require(
                ["sh", "-c", "tar -xOf \"$1\" \"$2\" | tar -tf -", "sh", path, "\(LabWorld.nodeName).tar"])
            #expect(inner.contains("status.json") && inner.contains("tokens.json"))
            let text = try await Command.require(["sh", "-c", "strings \"$1\"", "sh", path])
            #expect(!text.contains("ya29.") && !text.contains("eyJhbGci"))
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(mode == 0o600)
            // A file that exists is not overwritten.
            #expect(try await cluster.kubectl(["podidentd", "bundle", "--file", path]).status == 64)
        }
    }
}
