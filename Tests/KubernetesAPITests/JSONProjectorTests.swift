import Testing

@testable import KubernetesAPI

@Suite("JSON projections") struct JSONProjectorTests {
    private static let mask = FieldMask.members([
        "a": .scalar, "b": .members(["c": .scalar, "d": .elements(.scalars(["e"]))]), "r": .records(.scalars(["x"])),
    ])

    /// The rest of `text`: documents and records in their order, whole or byte by byte.
    private func read(
        _ text: String, mask: FieldMask = mask, inBytes: Bool = false
    ) throws -> (kept: [String], projector: JSONProjector) {
        var projector = JSONProjector(mask)
        var kept: [String] = []
        let bytes = Array(text.utf8)
        for chunk in inBytes ? bytes.map({ [$0] }) : [bytes] {
            try projector.read(chunk.span) { projection, _ in
                kept.append(String(decoding: projection.bytes, as: UTF8.self))
            }
        }
        return (kept, projector)
    }

    @Test(
        "Only the members of the mask are left, as they were written",
        arguments: [
            (#"{}"#, ["{}"]),
            (#" { "a" : 1 , "z" : 2 } "#, [#"{"a":1}"#]),
            (#"{"z":{"a":1,"y":["}",{"]":"\""}]},"a":-0.5e+10}"#, [#"{"a":-0.5e+10}"#]),
            (
                #"{"b":{"z":null,"c":"\u003cé","d":[{"e":1,"f":2},7,{"f":3}]}}"#,
                [#"{"b":{"c":"\u003cé","d":[{"e":1},7,{}]}}"#]
            ),
            (#"{"a":{"b":[1]},"b":[1,2]}"#, [#"{"a":{},"b":[]}"#]),
            (#"{"\u0061":true}"#, [#"{"\u0061":true}"#]),
            (#"{"a":1}{"a":2}"# + "\n{}", [#"{"a":1}"#, #"{"a":2}"#, "{}"]),
            (
                #"{"a":0,"r":[{"x":1,"y":9},{},[8],"s"],"b":{"c":false}}"#,
                [#"{"x":1}"#, "{}", "[]", #""s""#, #"{"a":0,"r":[],"b":{"c":false}}"#]
            ),
        ])
    func projections(text: String, expected: [String]) throws {
        #expect(try read(text).kept == expected)
        #expect(try read(text, inBytes: true).kept == expected)
    }

    @Test(
        "What is no JSON is refused, also where nothing of it is wanted",
        arguments: [
            "[]", "1", "null", "{,}", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, #"{"a":1]"#, #"{"z":[1}"#, #"{"z":[1,]}"#,
            #"{"z":01}"#, #"{"z":1.}"#, #"{"z":-}"#, #"{"z":1e}"#, #"{"z":+1}"#, #"{"z":.5}"#, #"{"z":tru}"#,
            #"{"z":nul}"#, #"{"z":"\x"}"#, #"{"z":"\u00g0"}"#, "{\"z\":\"\n\"}", "{\"z\":\"\u{0}\"}", #"{"z":1 2}"#,
            #"{'a':1}"#, #"{"z":NaN}"#, "\u{feff}{}", "{}x",
        ])
    func refusals(text: String) {
        #expect(throws: JSONDefect.self) { try read(text) }
        #expect(throws: JSONDefect.self) { try read(text, inBytes: true) }
    }

    @Test(
        "Bytes that are no UTF-8 are refused",
        arguments: [
            [0x80], [0xc0, 0x80], [0xc3, 0x22], [0xe0, 0x80, 0x80], [0xed, 0xa0, 0x80], [0xf0, 0x80, 0x80, 0x80],
            [0xf4, 0x90, 0x80, 0x80], [0xff],
        ] as [[UInt8]])
    func utf8(bytes: [UInt8]) {
        var projector = JSONProjector(Self.mask)
        let text = Array(#"{"z":""#.utf8) + bytes + Array(#""}"#.utf8)
        #expect(throws: JSONDefect.self) { try projector.read(text.span) { _, _ in } }
    }

    @Test("A member of the mask that is there twice is refused, one that is passed over is not")
    func duplicates() throws {
        #expect(throws: JSONDefect.duplicate) { try read(#"{"a":1,"z":0,"\u0061":2}"#) }
        #expect(try read(#"{"z":1,"z":2}"#).kept == ["{}"])
    }

    @Test("Depth is bounded, and as great as what Go reads")
    func depth() throws {
        func nested(_ depth: Int) -> String {
            #"{"z":"# + String(repeating: "[", count: depth - 1) + String(repeating: "]", count: depth - 1) + "}"
        }
        #expect(try read(nested(JSONScanner.depthLimit)).kept == ["{}"])
        #expect(throws: JSONDefect.tooDeep) { try read(nested(JSONScanner.depthLimit + 1)) }
    }

    @Test("What is too long to be kept is left out, and said so; the rest is read")
    func tooLong() throws {
        let long = String(repeating: "<", count: JSONScanner.captureLimit)
        var projector = JSONProjector(Self.mask)
        var kept: [JSONProjection] = []
        let text = Array(#"{"z":"\#(long)","a":"\#(long)","b":{"c":1}}{"a":2,"z":"\#(long)"}"#.utf8)
        try projector.read(text.span) { projection, _ in kept.append(projection) }
        #expect(kept.map { String(decoding: $0.bytes, as: UTF8.self) } == [#"{"b":{"c":1}}"#, #"{"a":2}"#])
        #expect(kept.map(\.isIncomplete) == [true, false])
        #expect(kept.reduce(0) { $0 + $1.size } == text.count)
    }

    @Test("A document keeps no more than its limit, however many elements it has")
    func manyElements() throws {
        let text = Array((#"{"b":{"d":["# + String(repeating: #"{"e":"0123456789"},"#, count: 10_000) + "{}]}}").utf8)
        var projector = JSONProjector(Self.mask)
        var kept: [JSONProjection] = []
        try projector.read(text.span) { projection, _ in kept.append(projection) }
        let projection = try #require(kept.first)
        #expect(projection.isIncomplete)
        #expect(projection.bytes.count < JSONProjector.documentLimit + 40_000)
        #expect(ProjectedJSON.decode([String: [String: [[String: String]]]].self, from: projection.bytes) != nil)
    }

    @Test("Where the stream ends inside of a record, what was kept of it and of the document around it is JSON")
    func unfinished() throws {
        let text = #"{"a":1,"r":[{"x":2},{"x":3,"z":["#
        let (kept, projector) = try read(text)
        #expect(kept == [#"{"x":2}"#])
        #expect(projector.isWithinObject)
        #expect(projector.unfinishedRecord.map { String(decoding: $0.bytes, as: UTF8.self) } == #"{"x":3}"#)
        #expect(projector.unfinishedDocument.map { String(decoding: $0.bytes, as: UTF8.self) } == #"{"a":1,"r":[]}"#)
        let fresh = try read("").projector
        #expect(fresh.unfinishedRecord == nil && fresh.unfinishedDocument == nil && !fresh.isWithinObject)
    }
}
