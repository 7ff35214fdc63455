import Foundation
import Fuzzing
import NIOCore
import Testing

@testable import SpiffeIdentity
@testable import SpiffeWorkload

/// The wire format, and what of it is refused.
@Suite struct ProtobufTests {
    private static func fields(_ bytes: [UInt8]) throws -> [(Int, ProtobufReader.Value)] {
        var reader = ProtobufReader(ByteBuffer(bytes: bytes))
        var fields: [(Int, ProtobufReader.Value)] = []
        while let field = try reader.next() { fields.append(field) }
        return fields
    }

    /// Written by protoc 3.21 for JWTSVIDRequest{audience: ["a", "bc"], spiffe_id: "spiffe://td/x"}.
    private static let tokenRequest: [UInt8] =
        [0x0a, 0x01, 0x61, 0x0a, 0x02, 0x62, 0x63, 0x12, 0x0d] + Array("spiffe://td/x".utf8)

    @Test("a request is read as another implementation wrote it, unknown fields among its own")
    func requests() throws {
        let request = try WorkloadMessages.tokenRequest(ByteBuffer(bytes: Self.tokenRequest))
        #expect(request == .init(audience: ["a", "bc"], spiffeID: "spiffe://td/x"))
        let unknown: [UInt8] = [0x78, 0x96, 0x01, 0x7d, 1, 2, 3, 4, 0x79, 1, 2, 3, 4, 5, 6, 7, 8, 0x7a, 0x00]
        let both = try WorkloadMessages.tokenRequest(ByteBuffer(bytes: unknown + Self.tokenRequest + unknown))
        #expect(both == request)
    }

    @Test(
        "what is no message is refused",
        arguments: [
            [0x0a], [0x0a, 0x02, 0x61], [0x0b], [0x0c], [0x00], [0x02, 0x00], [0x80], [0x08],
            [0x08, 0x80], [UInt8](repeating: 0xff, count: 11), [0x09, 1, 2, 3], [0x0d, 1, 2],
            [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
            [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], [0x0a, 0x01, 0xff],
        ])
    func refused(bytes: [UInt8]) {
        #expect(throws: ProtobufError.self) { try WorkloadMessages.tokenRequest(ByteBuffer(bytes: bytes)) }
    }

    @Test("numbers of every length are read back")
    func varints() throws {
        for value in [0, 1, 127, 128, 16_383, 16_384, UInt64(UInt32.max), UInt64.max - 1, UInt64.max] {
            var writer = ProtobufWriter()
            writer.write(3, choice: value)
            let fields = try Self.fields(Array(writer.buffer.readableBytesView))
            #expect(fields.count == 1 && fields[0].0 == 3 && fields[0].1 == .number(value))
        }
    }

    @Test("any bytes are a message or are refused, and a message is read back when it is written again")
    func fuzz() throws {
        let mutator = Mutator(
            seeds: [Self.tokenRequest, [0x0a, 0x00], [0x08, 0x96, 0x01]],
            words: ["\u{0a}", "\u{12}", "\u{7f}", "\u{0}", "\u{80}"], limit: 4096)
        var read = 0
        FuzzRun.seeds(usual: 40_000) { seed in
            var random = FuzzGenerator(seed: seed)
            let bytes = mutator.input(&random)
            FuzzRun.note(bytes)
            guard let request = try? WorkloadMessages.tokenRequest(ByteBuffer(bytes: bytes)) else { return }
            read += 1
            var writer = ProtobufWriter()
            for audience in request.audience where !audience.isEmpty { writer.write(1, string: audience) }
            writer.write(2, string: request.spiffeID)
            let again = try? WorkloadMessages.tokenRequest(writer.buffer)
            let expected = WorkloadMessages.TokenRequest(
                audience: request.audience.filter { !$0.isEmpty }, spiffeID: request.spiffeID)
            #expect(again == expected, "\(FuzzRun.text(bytes))")
        }
        #expect(read > 1_000, "the generator must reach what it is to test")
    }

    @Test("claims become a Struct, with aud a list whatever the token has")
    func claims() throws {
        let verified = JWTSVID.Verified(
            id: try #require(SpiffeID("spiffe://td/x")),
            claims: [
                "aud": .string("a"), "exp": .number(5), "ok": .bool(true), "none": .null,
                "nested": .object(["list": .array([.number(1.5), .string("")])]),
            ], expiration: 5)
        var frame = WorkloadMessages.validation(verified)
        #expect(frame.readInteger(as: UInt8.self) == 0)
        #expect(frame.readInteger(as: UInt32.self) == UInt32(frame.readableBytes))
        let fields = try Self.fields(Array(frame.readableBytesView))
        #expect(fields[0].1.string == "spiffe://td/x")
        guard case .bytes(let claims) = fields[1].1 else {
            Issue.record("no claims")
            return
        }
        let entries = try Self.fields(Array(claims.readableBytesView)).compactMap { field -> [UInt8]? in
            if case .bytes(let bytes) = field.1 { Array(bytes.readableBytesView) } else { nil }
        }
        #expect(entries.count == 5)
        // aud: ListValue(6) of one Value(string "a").
        #expect(
            entries[0] == [0x0a, 0x03] + Array("aud".utf8) + [0x12, 0x07, 0x32, 0x05, 0x0a, 0x03, 0x1a, 0x01, 0x61])
        // exp: the double 5.0.
        #expect(entries[1] == [0x0a, 0x03] + Array("exp".utf8) + [0x12, 0x09, 0x11, 0, 0, 0, 0, 0, 0, 0x14, 0x40])
        // none: NullValue, which is zero and there all the same.
        #expect(entries[3] == [0x0a, 0x04] + Array("none".utf8) + [0x12, 0x02, 0x08, 0x00])
    }
}
