import Foundation
import Fuzzing
import NIOCore
import Testing
import UpstreamHTTP

@testable import KubernetesAPI

/// Any bytes as a watch: the events do not depend on how they were cut, and nothing grows.
@Suite(.timeLimit(.minutes(5))) struct WatchFuzzTests {
    private static let limit = 64 * 1024
    private static let words = [
        "\n", "\r\n", "{", "}", "[", "]", "\"", ",", ":", "\\", "\\u0000", "\\ud800", "null", "1e999", "-0",
        "\"type\":\"ADDED\"", "\"type\":\"DELETED\"", "\"type\":\"BOOKMARK\"", "\"type\":\"ERROR\"", "\"object\":",
        "\"metadata\":", "\"uid\":", "\"resourceVersion\":", "\"spec\":", "\u{0}", "\u{ff}", "\u{feff}",
    ]

    @Test("cut at every byte, a stream gives the same events as whole")
    func everyCut() throws {
        for file in try kubernetesCorpus("watch") {
            let whole = try Self.events([file.bytes])
            #expect(whole.count >= 5)
            for cut in 0...file.bytes.count {
                let events = try Self.events([Array(file.bytes[..<cut]), Array(file.bytes[cut...])])
                #expect(events == whole, "\(file.name), cut at \(cut)")
            }
            #expect(try Self.events(file.bytes.map { [$0] }) == whole, "\(file.name), byte by byte")
        }
    }

    @Test("garbage is an event that is malformed or skipped, or an error, however it is cut")
    func garbage() throws {
        let corpus = try kubernetesCorpus("watch").map(\.bytes)
        let mutator = Mutator(seeds: corpus, words: Self.words, limit: 32 * 1024)
        var understood = 0
        try FuzzRun.seeds(usual: 4_000) { seed in
            var random = FuzzGenerator(seed: seed)
            let input = mutator.input(&random)
            FuzzRun.note(input)
            let whole = try Self.events([input])
            understood += whole.count { if case .updated = $0 { true } else { false } }
            let cut = Int.random(in: 0...input.count, using: &random)
            let events = try Self.events([Array(input[..<cut]), Array(input[cut...])])
            #expect(events == whole, "seed \(seed), cut at \(cut): \(FuzzRun.text(input))")
        }
        #expect(understood > 1_000)
    }

    @Test("a line without end is refused as soon as it is too long")
    func endlessLine() {
        var splitter = LineSplitter(limit: Self.limit)
        let chunk = ByteBuffer(repeating: UInt8(ascii: "x"), count: 1_000)
        var fed = 0
        #expect(throws: TransportError.self) {
            while fed < 100 * Self.limit {
                splitter.append(chunk)
                fed += chunk.readableBytes
                _ = try splitter.next()
            }
        }
        #expect(fed <= Self.limit + chunk.readableBytes)
    }

    private static func events(_ chunks: [[UInt8]]) throws -> [WatchEvent] {
        var splitter = LineSplitter(limit: limit)
        var events: [WatchEvent] = []
        for chunk in chunks {
            splitter.append(ByteBuffer(bytes: chunk))
            while let line = try splitter.next() { events.append(WatchEvent(line: line, nodeName: "node-a")) }
        }
        return events
    }
}
