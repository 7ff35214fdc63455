import Testing

@testable import Lab

@Suite struct DNSQueryTests {
    /// Identifier 0xabcd, recursion desired, one question.
    private static func query(_ name: String, type: UInt8 = 1, flags: UInt8 = 1) -> [UInt8] {
        let labels = name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        return [0xab, 0xcd, flags, 0, 0, 1, 0, 0, 0, 0, 0, 0] + labels + [0, 0, type, 0, 1]
    }

    private static let names: [String: [UInt8]] = ["metadata.google.internal": [169, 254, 169, 254]]

    @Test(
        "a known name is answered with its address",
        arguments: ["metadata.google.internal", "Metadata.GOOGLE.internal"])
    func knownName(name: String) throws {
        let answer = try #require(DNSQuery(Self.query(name))).answer(names: Self.names)
        #expect(answer.prefix(12) == [0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0])
        #expect(answer.dropFirst(12).prefix(30) == Self.query(name).dropFirst(12))
        #expect(answer.suffix(16) == [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 169, 254, 169, 254])
    }

    @Test("a known name has no IPv6 address, but exists")
    func noSuchType() throws {
        let answer = try #require(DNSQuery(Self.query("metadata.google.internal", type: 28))).answer(names: Self.names)
        #expect(answer.prefix(8) == [0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 0])
    }

    @Test("any other name does not exist", arguments: ["example.com", "google.internal", ""])
    func unknownName(name: String) throws {
        let answer = try #require(DNSQuery(Self.query(name))).answer(names: Self.names)
        #expect(answer.prefix(8) == [0xab, 0xcd, 0x81, 0x83, 0, 1, 0, 0])
        #expect(answer.count == Self.query(name).count)
    }

    @Test("what is not a query with one question is ignored")
    func malformed() {
        let valid = Self.query("a.b")
        for length in 0..<valid.count { #expect(DNSQuery(Array(valid.prefix(length))) == nil, "\(length) bytes") }
        #expect(DNSQuery(valid) != nil)
        #expect(DNSQuery(Self.query("a.b", flags: 0x80)) == nil, "an answer")
        #expect(DNSQuery(Array(valid[..<5]) + [2] + valid[6...]) == nil, "two questions")
        #expect(DNSQuery(Array(valid.dropLast()) + [3]) == nil, "class CHAOS")
        #expect(DNSQuery(Array(valid[..<12]) + [0xc0] + valid[13...]) == nil, "a compressed name")
    }
}
