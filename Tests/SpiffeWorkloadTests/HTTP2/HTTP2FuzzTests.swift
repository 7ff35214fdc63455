import Foundation
import Fuzzing
import Testing

@testable import SpiffeWorkload

/// Any bytes as a connection: the answers are well-formed frames, and nothing is left of it.
@Suite(.timeLimit(.minutes(10))) struct HTTP2FuzzTests {
    /// The first flights of real clients, as they were on the wire.
    private static func corpus() throws -> [(name: String, bytes: [UInt8])] {
        try FuzzRun.corpus(known(Bundle.module.url(forResource: "Corpus", withExtension: nil)))
    }

    private static let words = [
        "PRI * HTTP/2.0", "\u{0}\u{0}\u{0}", "\u{0}\u{0}\u{8}\u{6}", "\u{1}", "\u{4}", "\u{5}", "\u{7f}", "\u{20}",
    ]

    @Test("the first flights of real clients are answered")
    func clients() async throws {
        let signer = try FakeSigner()
        let store = try await RawConnection(signer).store
        _ = try await store.fetchTokenMessage(for: RawConnection.pod, audience: ["vault"])
        for file in try Self.corpus() {
            let connection = try await RawConnection(signer, store: store)
            let sent = try await connection.exchange(file.bytes)
            #expect(sent.first == "SETTINGS 12", "\(file.name): \(sent)")
            #expect(!sent.contains { $0.hasPrefix("RST") || $0.hasPrefix("GOAWAY") }, "\(file.name): \(sent)")
            let count = sent.count { $0.hasPrefix("HEADERS") && $0.hasSuffix(" 200") }
            #expect(count == (file.name == "h2load" ? 3 : 1), "\(file.name): \(sent)")
            try await connection.close()
        }
    }

    @Test("whatever bytes come, the answers are frames, and nothing is kept after the end")
    func bytes() async throws {
        let signer = try FakeSigner()
        let store = try await RawConnection(signer).store
        let seeds = try await Self.corpus().map(\.bytes) + Self.synthetic(signer)
        let mutator = Mutator(seeds: seeds, words: Self.words, limit: 8192)
        var (answers, breaches) = (0, 0)
        for seed in 1...UInt64(FuzzRun.iterations(usual: 1_500)) {
            var random = FuzzGenerator(seed: seed)
            let input = mutator.input(&random)
            FuzzRun.note(input)
            let connection = try await RawConnection(signer, store: store)
            // Half of the connections are sound, and have streams, before bytes come that are not.
            let sound = random.oneIn(2) ? random.pick(seeds) : RawConnection.preface
            var rest = (random.oneIn(8) ? input : sound + input.dropFirst(FrameReader.preface.count))[...]
            while !rest.isEmpty {
                let count = random.oneIn(2) ? rest.count : Int.random(in: 1...rest.count, using: &random)
                let sent = try await connection.exchange(Array(rest.prefix(count)))
                rest = rest.dropFirst(count)
                answers += sent.count { $0.hasPrefix("DATA") }
                breaches += sent.count { $0.hasPrefix("GOAWAY") || $0.hasPrefix("RST") }
            }
            try await connection.close()
            #expect(store.holdings.streams == 0 && store.budget.total == 0, "seed \(seed): \(FuzzRun.text(input))")
        }
        #expect(answers > 100 && breaches > 100, "the generator must reach what it is to test: \(answers), \(breaches)")
    }

    /// Connections with frames that the captured ones do not have.
    private static func synthetic(_ signer: FakeSigner) async throws -> [[UInt8]] {
        var seeds: [[UInt8]] = []
        let fields = RawConnection.fields()
        for part in 0..<4 {
            let client = try await RawConnection(signer)
            let bytes: [UInt8] =
                switch part {
                case 0:
                    try client.call(1) + client.call(3, "FetchX509SVID")
                        + RawConnection.frame(.reset, stream: 3, [0, 0, 0, 8])
                case 1: try RawConnection.setting(4, 10) + client.tokenCall(1) + RawConnection.windowUpdate(1, 100)
                case 2:
                    try RawConnection.frame(.headers, stream: 1, client.block(fields))
                        + RawConnection.frame(.continuation, flags: 4, stream: 1)
                        + RawConnection.frame(.data, flags: 9, stream: 1, [2, 0, 0, 0, 0, 0, 0, 0])
                default:
                    try client.head(1, fields) + RawConnection.data(1, [0, 0], isLast: false)
                        + client.head(1, [("a", "b")], isLast: true)
                        + RawConnection.frame(.ping, [1, 2, 3, 4, 5, 6, 7, 8])
                }
            seeds.append(RawConnection.preface + bytes)
            try await client.close()
        }
        return seeds
    }
}
