import Attribution
import Foundation
import Fuzzing
import NIOCore
import Testing

@testable import KubernetesAPI

/// Any bytes as a watch: the events do not depend on how they were cut, are those that a decoder of the whole finds, and
/// nothing grows.
@Suite(.timeLimit(.minutes(10))) struct WatchFuzzTests {
    private static let words = [
        "\n", "\r\n", "{", "}", "[", "]", "\"", ",", ":", "\\", "\\u0000", "\\ud800", "null", "1e999", "-0",
        "\"type\":\"ADDED\"", "\"type\":\"DELETED\"", "\"type\":\"BOOKMARK\"", "\"type\":\"ERROR\"", "\"object\":",
        "\"metadata\":", "\"uid\":", "\"resourceVersion\":", "\"spec\":", "\"labels\":", "\u{0}", "\u{ff}", "\u{feff}",
    ]
    private static let labels: Set<String> = ["a/b"]

    @Test("cut at every byte, a stream gives the same events as whole")
    func everyCut() throws {
        for file in try kubernetesCorpus("watch") {
            let whole = Self.events([file.bytes])
            #expect(whole.count >= 1)
            for cut in 0...file.bytes.count {
                let events = Self.events([Array(file.bytes[..<cut]), Array(file.bytes[cut...])])
                #expect(events == whole, "\(file.name), cut at \(cut)")
            }
            #expect(Self.events(file.bytes.map { [$0] }) == whole, "\(file.name), byte by byte")
        }
        let day = try kubernetesCorpus("watch").first { $0.name == "day" }
        #expect(day.map { Self.events([$0.bytes]).count } == 5)
    }

    @Test("garbage is an event that is malformed or skipped, however it is cut")
    func garbage() throws {
        let corpus = try kubernetesCorpus("watch").map(\.bytes)
        let mutator = Mutator(seeds: corpus, words: Self.words, limit: 32 * 1024)
        var understood = 0
        FuzzRun.seeds(usual: 4_000) { seed in
            var random = FuzzGenerator(seed: seed)
            let input = mutator.input(&random)
            FuzzRun.note(input)
            let whole = Self.events([input])
            understood += whole.count { if case .updated = $0 { true } else { false } }
            let cut = Int.random(in: 0...input.count, using: &random)
            let events = Self.events([Array(input[..<cut]), Array(input[cut...])])
            #expect(events == whole, "seed \(seed), cut at \(cut): \(FuzzRun.text(input))")
        }
        #expect(understood > 600)
    }

    @Test("a decoder of the whole object finds the same pod, whatever stands between its fields")
    func differential() throws {
        try FuzzRun.seeds(usual: 2_000) { seed in
            var random = FuzzGenerator(seed: seed)
            let input = Array(RandomPod.event(&random).utf8)
            FuzzRun.note(input)
            let whole = try JSONDecoder().decode(Event.self, from: Data(input))
            var pod = try #require(whole.object.wire.pod(of: "node-a"))
            pod.labels = pod.labels.filter { Self.labels.contains($0.key) }
            let cut = Int.random(in: 0...input.count, using: &random)
            let events = Self.events([Array(input[..<cut]), Array(input[cut...])])
            #expect(
                events == [.updated(pod, resourceVersion: whole.object.metadata.resourceVersion)],
                "seed \(seed), cut at \(cut): \(FuzzRun.text(input))")
        }
    }

    /// An event of ``RandomPod`` as Swift's decoder reads it.
    private struct Event: Decodable {
        struct Metadata: Decodable {
            let uid: String
            let name: String
            let namespace: String
            let resourceVersion: String
            let labels: [String: String]
            let annotations: [String: String]
        }

        struct Spec: Decodable {
            let serviceAccountName: String?
            let hostNetwork: Bool
            let nodeName: String
        }

        struct Status: Decodable {
            let phase: String
        }

        struct Object: Decodable {
            let metadata: Metadata
            let spec: Spec
            let status: Status

            var wire: WireObject {
                WireObject(
                    metadata: WireObject.Metadata(
                        uid: metadata.uid, name: metadata.name, namespace: metadata.namespace,
                        resourceVersion: metadata.resourceVersion, labels: metadata.labels,
                        annotations: metadata.annotations),
                    spec: WireObject.Spec(
                        serviceAccountName: spec.serviceAccountName, hostNetwork: spec.hostNetwork,
                        nodeName: spec.nodeName),
                    status: WireObject.PodStatus(phase: status.phase))
            }
        }

        let object: Object
    }

    @Test("an event without end ends the watch as soon as no API server could have written it")
    func endlessEvent() {
        var reader = PodWatchReader(nodeName: "node-a", labels: [])
        let chunk = ByteBuffer(repeating: UInt8(ascii: "x"), count: 1 << 20)
        var fed = 0
        var isOpen = reader.read(ByteBuffer(string: #"{"type":"ADDED","object":{"z":""#)) { _ in }
        while isOpen, fed < 100 * ObjectSize.unreadable {
            isOpen = reader.read(chunk) { _ in }
            fed += chunk.readableBytes
        }
        #expect(fed <= ObjectSize.unreadable + chunk.readableBytes)
        #expect(reader.end == .broken("an event of more than \(ObjectSize.unreadable) bytes"))
    }

    private static func events(_ chunks: [[UInt8]]) -> [WatchEvent] {
        var reader = PodWatchReader(nodeName: "node-a", labels: labels)
        var events: [WatchEvent] = []
        for chunk in chunks {
            guard reader.read(ByteBuffer(bytes: chunk), receive: { events.append($0) }) else { break }
        }
        return events
    }
}
