import Foundation
import Operations
import Testing

@Suite struct PostureTests {
    private static func posture(_ states: Posture.State..., isInstalled: Bool = true) -> Posture {
        let items = states.enumerated().map { Posture.Item("part.\($0)", $1, "found \($0)") }
        return Posture(version: "1.2.3", node: "node-a", isInstalled: isInstalled, sections: [.init("Part", items)])
    }

    @Test("the worst item decides the verdict and the exit status")
    func verdicts() {
        #expect(Self.posture(.ok, .ok).verdict == .healthy)
        #expect(Self.posture(.ok, .degraded).verdict == .degraded)
        #expect(Self.posture(.degraded, .unsafe, .unknown).verdict == .unsafe)
        #expect(Posture.Verdict.allCases.map(\.exitStatus) == [0, 1, 2, 1])
    }

    @Test("what could not be found out is not healthy")
    func unknown() {
        #expect(Self.posture(.ok, .unknown).verdict == .degraded)
    }

    @Test("before the installation the verdict says just that")
    func notInstalled() {
        let posture = Self.posture(.unknown, .degraded, isInstalled: false)
        #expect(posture.verdict == .notInstalled)
        #expect(posture.text(.plain).hasSuffix("node node-a, podidentd 1.2.3: not installed (1 degraded, 1 unknown)\n"))
    }

    @Test("the text has a line for each item, aligned, and what it means below")
    func text() {
        let posture = Posture(
            version: "1", node: "n", isInstalled: true,
            sections: [
                .init(
                    "Hooks",
                    [
                        .init("hooks.a", .ok, "in place"),
                        .init("hooks.longer", .unsafe, "missing", meaning: "Restart it.\n  rule"),
                    ])
            ])
        #expect(
            posture.text(.plain) == """
                Hooks
                  ok        hooks.a       in place
                  unsafe    hooks.longer  missing
                                          Restart it.
                                            rule

                node n, podidentd 1: unsafe (1 ok, 1 unsafe)

                """)
    }

    @Test("lines are broken between words at the terminal's width")
    func width() {
        let words = Array(repeating: "word", count: 60).joined(separator: " ")
        let posture = Posture(
            version: "1", node: "n", isInstalled: true, sections: [.init("S", [.init("a.b", .ok, words)])])
        for width in [60, 80, 132] {
            let lines = posture.text(.init(width: width, hasColor: false)).split(separator: "\n")
            #expect(lines.allSatisfy { $0.count <= width })
            #expect(lines.joined(separator: " ").split(separator: " ").count { $0 == "word" } == 60)
        }
    }

    @Test("colour is used only where it is wanted, and nothing that was found can steer a terminal")
    func colour() {
        let posture = Posture(
            version: "1", node: "n", isInstalled: true,
            sections: [.init("S", [.init("a", .unsafe, "evil \u{1b}[2J\r name")])])
        #expect(!posture.text(.plain).contains("\u{1b}"))
        let colored = posture.text(.init(width: 80, hasColor: true))
        #expect(colored.contains("\u{1b}[31munsafe  \u{1b}[0m"))
        #expect(!colored.contains("\u{1b}[2J") && !colored.contains("\r"))
    }

    @Test("the JSON keeps its keys")
    func schema() throws {
        let data = try JSONEncoder().encode(Self.posture(.ok))
        let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(Set(object.keys) == ["schema", "version", "node", "verdict", "sections"])
        #expect(object["schema"] as? Int == 1)
        let section = try #require((object["sections"] as? [[String: Any]])?.first)
        let item = try #require((section["items"] as? [[String: Any]])?.first)
        #expect(Set(item.keys) == ["id", "state", "found", "meaning"])
        #expect(try JSONDecoder().decode(Posture.self, from: data) == Self.posture(.ok))
    }
}
