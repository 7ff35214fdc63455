import Fuzzing
import NIOCore
import NIOHPACK
import Testing

@testable import SpiffeWorkload

/// Header blocks: those that are remembered mean what they meant, and those that are sent are what others read.
@Suite struct HeaderReaderTests {
    private static func text(_ headers: HPACKHeaders) -> String {
        headers.map { "\($0.name)=\($0.value)" }.joined(separator: ";")
    }

    /// The block's fields, by way of a head that has their text.
    private static func read(_ block: ByteBuffer, _ reader: inout HeaderReader) throws -> String? {
        let request = try reader.request(block) { .failure(.status(GRPCStatus(.unavailable, text($0)))) }
        guard case .failure(.status(let status))? = request?.call else { return nil }
        return status.message
    }

    @Test("a block reads as it would without a memory of the one before, whatever the table has become")
    func memory() throws {
        var remembered = 0
        try FuzzRun.seeds(usual: 400) { seed in
            var random = FuzzGenerator(seed: seed)
            var encoder = HPACKEncoder(allocator: ByteBufferAllocator())
            var decoder = HPACKDecoder(allocator: ByteBufferAllocator())
            var reader = HeaderReader(listLimit: 16_384)
            var blocks: [ByteBuffer] = []
            for _ in 0..<24 {
                // Mostly bytes that came before, which another table may give another meaning.
                if random.oneIn(3) || blocks.isEmpty { blocks.append(try Self.block(&encoder, &random)) }
                let block = random.pick(blocks)
                var bytes = block
                guard let headers = try? decoder.decodeHeaders(from: &bytes) else {
                    #expect(throws: HTTP2Breach.connection(.compressionError)) { try Self.read(block, &reader) }
                    return
                }
                let isRequest = (try? RequestFields(ofRequest: headers)) != nil
                #expect(try Self.read(block, &reader) == (isRequest ? Self.text(headers) : nil), "seed \(seed)")
                if isRequest, HeaderReader.leavesTable(block) { remembered += 1 }
            }
        }
        #expect(remembered > 1000, "the generator must reach what it is to test")
    }

    /// A block of a small choice of fields, so that the table is used.
    private static func block(_ encoder: inout HPACKEncoder, _ random: inout FuzzGenerator) throws -> ByteBuffer {
        var headers = HPACKHeaders(RawConnection.fields())
        for _ in 0..<Int.random(in: 0..<3, using: &random) {
            let value = String(repeating: "v", count: random.pick([0, 1, 5, 130, 1500]))
            headers.add(
                name: random.pick(["a", "b", "user-agent"]), value: value,
                indexing: random.pick([.indexable, .nonIndexable, .neverIndexed]))
        }
        var block = ByteBuffer()
        if random.oneIn(8) { try encoder.setDynamicTableSize(random.pick([0, 200, 4096])) }
        try encoder.encode(headers: headers, to: &block)
        return block
    }

    @Test(
        "a block with a field for the table, or a new size of it, changes it; others do not",
        arguments: [
            ([0x82, 0xbe], true), ([], true), ([0x04, 1, 0x61], true), ([0x00, 1, 0x61, 1, 0x62], true),
            ([0x10, 1, 0x61, 1, 0x62], true), ([0x0f, 0x0d, 2, 0x31, 0x31], true), ([0xff, 0x01], true),
            ([0x41, 1, 0x61], false), ([0x40, 1, 0x61, 1, 0x62], false), ([0x20], false), ([0x3f, 0x01], false),
            ([0x82, 0x40, 1, 0x61, 1, 0x62], false),
            // Blocks that are not complete are not remembered either.
            ([0x04, 2, 0x61], false), ([0x04], false), ([0xff], false), ([0x0f], false), ([0x00], false),
            ([0x04, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x0f], false),
        ] as [([UInt8], Bool)])
    func tables(bytes: [UInt8], isLeft: Bool) {
        #expect(HeaderReader.leavesTable(ByteBuffer(bytes: bytes)) == isLeft)
    }

    @Test("fields that are sent are read by another implementation, whatever their length")
    func fields() throws {
        for length in [0, 1, 126, 127, 128, 254, 255, 256, 4096, 10_000] {
            let value = String(repeating: "x", count: length)
            let block = FieldBlock([(":status", "200"), (":status", "405"), ("grpc-message", value), ("a", "")])
            var decoder = HPACKDecoder(allocator: ByteBufferAllocator())
            var bytes = ByteBuffer(bytes: [FieldBlock.noTable] + block.bytes)
            let headers = try decoder.decodeHeaders(from: &bytes)
            #expect(Self.text(headers) == ":status=200;:status=405;grpc-message=\(value);a=")
        }
    }

    @Test("a flood limit lets a burst through, and then as much as the time allows")
    func floods() {
        var limit = FloodLimit(200, in: .seconds(30))
        let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
        let burst = (0..<202).map { _ in limit.take(start) }
        #expect(burst == [Bool](repeating: true, count: 200) + [false, false])
        let later = [100, 600].map { limit.take(start + .milliseconds($0)) }
        #expect(later == [false, true])
        var even = FloodLimit(200, in: .seconds(30))
        let steady = (0..<2000).map { even.take(start + .milliseconds(150 * $0)) }
        #expect(steady.allSatisfy { $0 })
    }
}
