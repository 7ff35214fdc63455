import Testing

@testable import GoogleMetadata
@testable import MetadataProtocol
@testable import MetadataServer

@Suite struct RequestTargetTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var target: String
        var path: String?
        var testDescription: String { "\(target) -> \(path ?? "refused")" }

        init(_ target: String, _ path: String?) {
            self.target = target
            self.path = path
        }
    }

    @Test(arguments: [
        Case("/", "/"), Case("//", "/"), Case("/.", "/"), Case("/a/..", "/"), Case("/?x", "/"),
        Case("/a//b", "/a/b"), Case("/a/./b/", "/a/b/"), Case("/a/../b", "/b"), Case("/a/b/..", "/a/"),
        Case("/%61/b", "/a/b"), Case("/a%40b", "/a@b"), Case("/%2e%2e/a", nil), Case("/a/%2E%2e/b", "/b"),
        Case("/...", "/..."), Case("/a/.b", "/a/.b"), Case("/a?b?c", "/a"),
        Case("http://h/a", "/a"), Case("HTTP://h", "/"), Case("http://h?x=/y", "/"),
        Case("", nil), Case("*", nil), Case("a", nil), Case("https://h/a", nil), Case("h:80", nil),
        Case("/..", nil), Case("/a/../..", nil), Case("/%", nil), Case("/%4", nil), Case("/%zz", nil),
        Case("/%2f", nil), Case("/%2F", nil), Case("/%25", nil), Case("/%2541", nil), Case("/%3f", nil),
        Case("/%00", nil), Case("/%0d%0a", nil), Case("/%7f", nil), Case("/%c3%a9", nil), Case("/%ff", nil),
        Case("/%5c", nil), Case("/a\\b", nil), Case("/a#b", nil), Case("/a b", nil), Case("/a\tb", nil),
        Case("/caf\u{e9}", nil), Case("/\u{212a}", nil),
    ])
    func `a target has one canonical path or none`(_ test: Case) {
        #expect((try? RequestTarget(parsing: test.target))?.path == test.path)
    }

    @Test func `the query is what follows the first question mark`() throws {
        let target = try RequestTarget(parsing: "/a?b=%2F?c")
        #expect(target.query == "b=%2F?c")
        #expect(try RequestTarget(parsing: "/a").query == nil)
        #expect(try RequestTarget(parsing: "/a?").query == "")
        #expect(try RequestTarget(parsing: "http://h:80?q").query == "q")
        #expect(try RequestTarget(parsing: "http://h:80?q").authority == "h:80")
    }

    @Test func `a canonical path is its own canonical form, whatever bytes came`() {
        var random = SeededGenerator(state: 0x5eed)
        let alphabet = Array("/ab.%2eE5cfF04~?#\\@:-\u{7f}\n".utf8)
        var accepted = 0
        for _ in 0..<50_000 {
            let length = Int.random(in: 0...24, using: &random)
            let bytes = (0..<length).map { _ in alphabet.randomElement(using: &random)! }
            let text = "/" + String(decoding: bytes, as: UTF8.self)
            guard let path = try? RequestTarget(parsing: text).path else { continue }
            accepted += 1
            #expect(path.utf8.first == UInt8(ascii: "/"))
            #expect((try? RequestTarget(parsing: path))?.path == path)
        }
        #expect(accepted > 1000)
    }

    @Test func `random bytes match no route and trap nothing`() {
        var random = SeededGenerator(state: 7)
        for _ in 0..<20_000 {
            let length = Int.random(in: 1...40, using: &random)
            let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
            let text = "/computeMetadata/v1/" + String(decoding: bytes, as: UTF8.self)
            guard let path = try? RequestTarget(parsing: text).path else { continue }
            guard let route = Route(path: path) else { continue }
            #expect(path == "/" || path.hasPrefix("/computeMetadata"), "\(path) is \(route)")
        }
    }
}

/// A generator that starts the same each time (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var word = state
        word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
        return word ^ (word >> 31)
    }
}
