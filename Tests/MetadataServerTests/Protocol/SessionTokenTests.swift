import Testing

@testable import MetadataProtocol
@testable import MetadataServer

@Suite struct SessionTokenTests {
    private let tokens = SessionTokens(key: [UInt8](repeating: 7, count: 32))

    @Test("a token is its pod's, and of any server with the same key")
    func bound() {
        let token = tokens.make(for: .test(1), seconds: 60)
        #expect(tokens.accepts(token, from: .test(1)) && !tokens.accepts(token, from: .test(2)))
        #expect(SessionTokens(key: [UInt8](repeating: 7, count: 32)).accepts(token, from: .test(1)))
        #expect(!SessionTokens(key: [UInt8](repeating: 8, count: 32)).accepts(token, from: .test(1)))
        #expect(token.utf8.count == 64)
    }

    @Test("no byte of a token can be changed, left out or added")
    func forged() {
        let token = tokens.make(for: .test(1), seconds: 21_600)
        for index in token.indices {
            var other = token
            other.replaceSubrange(index...index, with: token[index] == "A" ? "B" : "A")
            #expect(!tokens.accepts(other, from: .test(1)))
        }
        for other in ["", String(token.dropLast()), token + "A", token + "=", " " + token, token.uppercased()] {
            #expect(!tokens.accepts(other, from: .test(1)))
        }
    }

    @Test("a token that has ended")
    func ended() {
        #expect(!tokens.accepts(tokens.make(for: .test(1), seconds: 0), from: .test(1)))
    }
}

@Suite struct CloudAllowListTests {
    @Test("namespaces and patterns")
    func matching() throws {
        let list = try #require(CloudAllowList("team-a=arn:aws:iam::1:role/a-*, *=shared, b=*x*y"))
        #expect(
            list.allows("arn:aws:iam::1:role/a-1", in: "team-a") && list.allows("arn:aws:iam::1:role/a-", in: "team-a"))
        #expect(!list.allows("arn:aws:iam::1:role/b", in: "team-a") && !list.allows("arn:aws:iam::1:role/a-1", in: "b"))
        #expect(list.allows("shared", in: "anything") && !list.allows("shared2", in: "anything"))
        #expect(list.allows("1x2x3y", in: "b") && !list.allows("1x2x3y4", in: "b"))
        #expect(CloudAllowList().allows("any", in: "any"))
    }

    @Test("a long pattern against a long name takes no time", .timeLimit(.minutes(10)))
    func linear() {
        let list = CloudAllowList([
            .init(namespace: "n", pattern: String(repeating: "a*", count: 500) + "b")
        ])
        #expect(!list.allows(String(repeating: "a", count: 2048), in: "n"))
    }

    @Test("what is no list", arguments: ["x", "=y", "x=", "a=b,c", ",", " "])
    func bad(text: String) {
        #expect(CloudAllowList(text) == nil)
    }
}
