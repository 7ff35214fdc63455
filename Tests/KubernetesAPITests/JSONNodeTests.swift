import Testing

@testable import KubernetesAPI

/// The reader of what a projector leaves. The fuzz tests of watches compare it with Swift's decoder.
@Suite struct JSONNodeTests {
    private static let text =
        #"{"a":"x","b":null,"c":true,"d":410,"e":{"k":"v","l":"w"},"f":["x",{}],"g":"\u00e9\"","h":"\ud800","i":4e2,"j":"#
        + #"{"k":1}}"#

    @Test("members are read by what they are, and null is none")
    func members() throws {
        let node = try #require(JSONNode(Array(Self.text.utf8)))
        #expect(try node.text("a") == "x")
        #expect(try node.text("b") == nil)
        #expect(try node.text("z") == nil)
        #expect(try node.flag("c") == true)
        #expect(try node.number("d") == 410)
        #expect(try node.number("i") == 400)
        #expect(try node.texts("e") == ["k": "v", "l": "w"])
        #expect(try node.member("e")?.text("l") == "w")
        #expect(try node.text("g") == "\u{e9}\"")
    }

    @Test("a member of another kind is a mismatch, as is half a surrogate", arguments: ["c", "d", "e", "f", "h"])
    func mismatches(_ name: String) throws {
        let node = try #require(JSONNode(Array(Self.text.utf8)))
        #expect(throws: JSONNode.Mismatch.self) { try node.text(name) }
        #expect(throws: JSONNode.Mismatch.self) { try node.texts("j") }
        #expect(throws: JSONNode.Mismatch.self) { try node.flag("a") }
        #expect(throws: JSONNode.Mismatch.self) { try node.number("a") }
        #expect(throws: JSONNode.Mismatch.self) { try JSONNode.list.text("a") }
    }

    @Test(
        "what is not one value is none",
        arguments: ["", "{", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, "[1", #""a"#, "{} ", "{}{}", #"{a:1}"#])
    func refusals(_ text: String) {
        #expect(JSONNode(Array(text.utf8)).map { _ in true } == nil)
    }

    @Test("nesting has an end")
    func depth() {
        let text = String(repeating: "[", count: 1_000) + String(repeating: "]", count: 1_000)
        #expect(JSONNode(Array(text.utf8)).map { _ in true } == nil)
    }
}
