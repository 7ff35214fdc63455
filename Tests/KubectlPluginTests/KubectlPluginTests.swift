import Foundation
import Operations
import Testing
import YAML

@testable import KubectlPlugin

@Suite struct KubectlPluginTests {
    private func agent(_ node: String, _ name: String = "a", isReady: Bool = true) -> AgentPod {
        AgentPod(node: node, namespace: "podidentd", name: name, isReady: isReady, created: "")
    }

    private func ended(_ output: String = "", _ errors: String = "", status: CInt = 0) -> Kubectl.Ended {
        Kubectl.Ended(output: Array(output.utf8), errors: errors, status: status)
    }

    @Test("of two agents on a node the ready one counts, else the newer; a pod without a node is none")
    func agents() throws {
        func pod(_ name: String, _ node: String?, _ ready: String, _ created: String) -> String {
            let spec = node.map { "{\"nodeName\": \"\($0)\"}" } ?? "{}"
            return """
                {"metadata": {"name": "\(name)", "namespace": "n", "creationTimestamp": "\(created)"}, "spec": \(spec),
                 "status": {"conditions": [{"type": "Ready", "status": "\(ready)"}, {"type": "Other", "status": "True"}]}}
                """
        }
        let pods = [
            pod("new", "b", "False", "2026-01-02T00:00:00Z"), pod("old", "b", "True", "2026-01-01T00:00:00Z"),
            pod("older", "a", "False", "2026-01-01T00:00:00Z"), pod("newer", "a", "False", "2026-01-02T00:00:00Z"),
            pod("pending", nil, "False", "2026-01-03T00:00:00Z"),
        ]
        for order in [pods, pods.reversed()] {
            let json = "{\"items\": [\(order.joined(separator: ","))]}"
            let agents = try AgentPod.agents(inList: Array(json.utf8))
            #expect(agents.map(\.name) == ["newer", "old"] && agents.map(\.isReady) == [false, true])
        }
        #expect(throws: PluginError.self) { try AgentPod.agents(inList: Array("nothing".utf8)) }
    }

    @Test("the status of the remote command is told from kubectl's own")
    func remoteStatus() {
        #expect(ended("", "command terminated with exit code 2\n", status: 2).remoteStatus == 2)
        #expect(ended("", "words\ncommand terminated with exit code 137", status: 1).remoteStatus == 137)
        #expect(ended("", "error: dial tcp: refused", status: 1).remoteStatus == nil)
        #expect(ended("", "error: dial tcp: refused\n", status: 1).complaint == "dial tcp: refused")
        #expect(ended(status: 5).complaint == "kubectl ended with status 5 and said nothing")
    }

    @Test("a report's status is the worst of its nodes', and a node that does not answer is no success")
    func report() throws {
        func report(_ ends: Kubectl.Ended...) -> NodeReport {
            NodeReport(ends.map { NodeResponse(agent: agent("n"), result: .success($0)) })
        }
        let remote = "command terminated with exit code"
        #expect(report(ended("{}")).exitStatus == 0)
        #expect(report(ended("{}"), ended("{}", "\(remote) 1", status: 1)).exitStatus == 1)
        #expect(report(ended("{}", "\(remote) 2", status: 2), ended("{}", "\(remote) 1", status: 1)).exitStatus == 2)
        #expect(report(ended("", "\(remote) 137", status: 137)).exitStatus == 1)
        #expect(
            report(ended("", "no such pod\n\(remote) 64", status: 64)).text(on: .plain).hasSuffix(
                "failed: no such pod\n"))
        #expect(report(ended("├─ a\u{1b}[2J\nb\n")).text(on: .plain).hasSuffix("├─ a\u{fffd}[2J\nb\n"))
        let silent = report(ended("", "error: no way", status: 1))
        #expect(silent.exitStatus == 1 && silent.text(on: .plain) == "NODE n (podidentd/a)\nno answer: no way\n")
        guard case .object(let members) = silent.tree, case .list(let nodes) = members["nodes"] else {
            Issue.record("\(silent.tree)")
            return
        }
        #expect(nodes == [.object(["node": "n", "pod": "podidentd/a", "error": "no way"].mapValues { .text($0) })])
    }

    @Test("at most eight agents are asked at once, and answers keep the nodes' order")
    func gathering() async {
        let agents = (10..<60).map { agent("node-\($0)") }
        let running = Counter()
        let answers = await NodeResponse<String>.gather(agents, progress: { _ in }) { agent throws(PluginError) in
            await running.enter()
            await Task.yield()
            await running.leave()
            if agent.node == "node-30" { throw PluginError("no") }
            return agent.node
        }
        #expect(answers.map(\.agent.node) == agents.map(\.node))
        #expect(answers.filter { $0.failure != nil }.map(\.agent.node) == ["node-30"])
        #expect(await running.most <= 8)
    }

    private actor Counter {
        private var now = 0
        private(set) var most = 0

        func enter() {
            now += 1
            most = max(most, now)
        }

        func leave() { now -= 1 }
    }

    @Test("audit lines are merged by time, and other lines of the logs are left out")
    func audit() {
        func line(_ time: String, _ node: String) -> String {
            "{\"version\":1,\"time\":\"\(time)\",\"event\":\"mint\",\"node\":\"\(node)\"}"
        }
        let (early, late) = ("2026-01-01T00:00:00.001Z", "2026-01-01T00:00:00.010Z")
        let first = [line(early, "a"), "{\"level\":\"info\"}", "words", line(late, "a")].joined(separator: "\n")
        let second = [line(early, "b"), line(late, "b") + "\n"].joined(separator: "\n")
        let merged = AuditLines.merged([Array(first.utf8), Array(second.utf8)])
        #expect(merged == [line(early, "a"), line(early, "b"), line(late, "a"), line(late, "b")])
        #expect(AuditLines.merged([]).isEmpty)
    }

    @Test("a table of audit lines has the main members of each, and other forms have all of them")
    func auditForms() {
        let lines = [
            """
            {"version":1,"time":"2026-01-01T00:00:00.001Z","event":"mint","node":"a","namespace":"shop","pod":"web",\
            "serviceAccount":"web","kind":"access_token","result":"minted","milliseconds":5,"count":1}
            """,
            """
            {"version":1,"time":"2026-01-01T00:00:00.002Z","event":"refusal","node":"b","kind":"token",\
            "result":"denied","reason":"no_identity","status":403,"count":4}
            """,
            #"{"version":1,"time":"2026-01-01T00:00:00.003Z","event":"lost","node":"b","count":7}"#,
        ]
        #expect(
            AuditLines.table(lines, on: .plain) == """
                TIME                      NODE  EVENT    POD       SERVICEACCOUNT  KIND          RESULT  REASON       COUNT  TARGET
                2026-01-01T00:00:00.001Z  a     mint     shop/web  web             access_token  minted  -            1      -
                2026-01-01T00:00:00.002Z  b     refusal  -         -               token         denied  no_identity  4      -
                2026-01-01T00:00:00.003Z  b     lost     -         -               -             -       -            7      -

                """)
        let trees = AuditLines.trees(lines)
        guard trees.count == 3, case .object(let members) = trees[0] else {
            Issue.record("\(trees)")
            return
        }
        #expect(members["milliseconds"] == .integer(5) && members["pod"] == .text("web"))
    }

    @Test("YAML output reads as what the JSON output is")
    func yaml() throws {
        let json = """
            {"nodes": [{"a b": "x: y", "list": [1, [2, {"k": null}], []], "yes": true, "id": 18446744073709551615,
             "empty": {}, "text": "line\\nwith \\"quotes\\" \\\\ and \\u0001 \\u2028"}], "half": 0.5}
            """
        let tree = try JSONDecoder().decode(JSONTree.self, from: Data(json.utf8))
        #expect(try JSONDecoder().decode(JSONTree.self, from: try JSONEncoder().encode(tree)) == tree)
        let read = try #require(try YAML.read(tree.yaml)?.mapping)
        let node = try #require(read["nodes"]?.sequence?.first?.mapping)
        #expect(node["text"]?.scalar?.string == "line\nwith \"quotes\" \\ and \u{1} \u{2028}")
        #expect(node["a b"]?.scalar?.string == "x: y" && node["id"]?.scalar?.string == "18446744073709551615")
        #expect(node["list"]?.sequence?[1].sequence?[1].mapping?["k"]?.scalar?.isNull == true)
        #expect(node["list"]?.sequence?[2] == .sequence([]) && node["empty"]?.mapping?.entries.isEmpty == true)
        #expect(node["yes"]?.scalar?.string == "true" && read["half"]?.scalar?.string == "0.5")
    }
}
