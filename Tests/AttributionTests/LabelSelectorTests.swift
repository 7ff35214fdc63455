import Attribution
import Testing

@Suite struct LabelSelectorTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var selector: String
        var matching: [[String: String]]
        var others: [[String: String]]
        var testDescription: String { selector }
    }

    @Test(
        "a selector means what it means to kubectl",
        arguments: [
            Case(selector: "app=web", matching: [["app": "web"]], others: [[:], ["app": "db"], ["ap": "web"]]),
            Case(selector: "app == web", matching: [["app": "web"]], others: [["app": "webs"]]),
            Case(selector: "app!=web", matching: [[:], ["app": "db"]], others: [["app": "web"]]),
            Case(selector: "app", matching: [["app": ""], ["app": "x"]], others: [[:]]),
            Case(selector: "!app", matching: [[:], ["b": "c"]], others: [["app": ""]]),
            Case(selector: "app in (web, db)", matching: [["app": "db"]], others: [[:], ["app": "x"]]),
            Case(selector: "app notin(web,db)", matching: [[:], ["app": "x"]], others: [["app": "web"]]),
            Case(selector: "app=", matching: [["app": ""]], others: [[:], ["app": "x"]]),
            Case(selector: "app in ()", matching: [["app": ""]], others: [[:], ["app": "x"]]),
            Case(
                selector: " example.com/tier=a , env in (x),!spot\t",
                matching: [["example.com/tier": "a", "env": "x"]],
                others: [["example.com/tier": "a"], ["example.com/tier": "a", "env": "x", "spot": ""]]),
            Case(selector: "in=notin", matching: [["in": "notin"]], others: [["in": "in"]]),
        ]
    )
    func meaning(_ test: Case) throws {
        let selector = try LabelSelector(test.selector)
        for labels in test.matching { #expect(selector.matches(labels), "\(labels)") }
        for labels in test.others { #expect(!selector.matches(labels), "\(labels)") }
    }

    @Test(
        "what is no selector is refused, never read as less than it says",
        arguments: [
            "", " ", ",", "a,", ",a", "a=b,,c", "a=b c=d", "a in b", "a in (b", "a in b)", "a in (b)) ", "a in",
            "!a=b", "!", "=a", "a>1", "a<1", "a=b=c", "a=-b", "a=b-", "-a=b", "a_=b", "é=b", "a=é", "a/b/c=d", "/a=b",
            "a/=b", "A.B/c=d", "a b", "a inn (b)", "a=\(String(repeating: "x", count: 64))",
            "\(String(repeating: "x", count: 64))=a", Array(repeating: "a", count: 33).joined(separator: ","),
            "a in (\((0..<65).map { "v\($0)" }.joined(separator: ",")))",
            "a in (\(String(repeating: " ", count: 4096)))", "a\u{0}=b",
        ]
    )
    func refusals(_ text: String) {
        #expect(throws: LabelSelectorError.self) { try LabelSelector(text) }
    }
}
