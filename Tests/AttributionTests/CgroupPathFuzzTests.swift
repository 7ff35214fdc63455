import Foundation
import Fuzzing
import Testing

@testable import Attribution

/// Any bytes as a cgroup path: what is believed is exactly what a kubelet would have written.
@Suite(.timeLimit(.minutes(10))) struct CgroupPathFuzzTests {
    private static let roots = [
        "/kubepods", "/kubepods.slice", "/kubelet/kubepods", "/kubelet.slice/kubelet-kubepods.slice",
        "/docker/0a1b/kubelet/kubepods",
    ]
    private static let words = [
        "/", "//", ".", "..", "/kubepods", "/kubepods.slice", "kubepods-", "burstable", "besteffort", "system",
        "kubepods-burstable.slice", "pod", "-pod", ".slice", ".scope", "cri-containerd-", "crio-", "docker-", "_", "-",
        "11111111-2222-3333-4444-555555555555", "11111111_2222_3333_4444_555555555555",
        "0123456789abcdef0123456789abcdef", String(repeating: "c0", count: 32), " (deleted)", "\u{0}", "\n", "\u{130}",
        "\u{ff11}", "e\u{301}", "A",
    ]

    @Test("a path that is believed is the kubelet's own spelling of that pod, below that root")
    func belief() throws {
        let roots = try Self.roots.map { try KubepodsRoot($0) }
        let folder = try #require(Bundle.module.url(forResource: "Corpus", withExtension: nil))
        let corpus = try FuzzRun.corpus(folder).flatMap { file in
            file.bytes.split(separator: UInt8(ascii: "\n")).map(Array.init)
        }
        let mutator = Mutator(seeds: corpus, words: Self.words, limit: 8_192)
        for path in corpus { for root in roots { check(path, root) } }
        var believed = 0
        FuzzRun.seeds(usual: 60_000) { seed in
            var random = FuzzGenerator(seed: seed)
            let path = random.oneIn(2) ? mutator.input(&random) : Self.path(&random)
            FuzzRun.note(path)
            for root in roots where check(path, root) { believed += 1 }
        }
        #expect(believed > 100, "the generator must reach what it is to test")
    }

    /// Returns whether the path was believed.
    @discardableResult
    private func check(_ path: [UInt8], _ root: KubepodsRoot) -> Bool {
        guard let parsed = root.parse(path) else { return false }
        let pods = Self.spellings(of: parsed, root)
        let matching = pods.filter { path == $0 || path.starts(with: $0 + [UInt8(ascii: "/")]) }
        #expect(matching.count == 1, "\(FuzzRun.text(path)) below \(root) gave \(parsed)")
        guard let pod = matching.first else { return true }
        let rest = path.dropFirst(pod.count).split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        #expect((parsed.level == .pod) == (path == pod), "\(FuzzRun.text(path))")
        #expect((parsed.level == .container) == (rest.count == 2), "\(FuzzRun.text(path))")
        if let container = parsed.containerID {
            #expect(container.utf8.count == 64)
            #expect(String(decoding: rest[1], as: UTF8.self).contains(container), "\(FuzzRun.text(path))")
        }
        return true
    }

    /// The pod-level paths that a kubelet makes for this UID at this depth, written down a second time.
    private static func spellings(of parsed: PodCgroupPath, _ root: KubepodsRoot) -> [[UInt8]] {
        let uid = parsed.uid.description
        let groups: [[String]] =
            switch parsed.podDepth {
            case 1: [[]]
            case 2: [["burstable"], ["besteffort"], ["system"]]
            case 3: [["system", "burstable"], ["system", "besteffort"]]
            default: []
            }
        return groups.map { group in
            guard root.description.hasSuffix(".slice") else {
                return Array(([root.description] + group + ["pod\(uid)"]).joined(separator: "/").utf8)
            }
            let name = root.description.split(separator: "/").last.map { String($0.dropLast(6)) } ?? ""
            var stem = name
            var path = root.description
            for part in group {
                stem += "-" + part
                path += "/\(stem).slice"
            }
            return Array("\(path)/\(stem)-pod\(uid.replacing("-", with: "_")).slice".utf8)
        }
    }

    /// A path put together from the words of the grammar, right or nearly right.
    private static func path(_ random: inout FuzzGenerator) -> [UInt8] {
        var path = random.pick(roots)
        let isSystemd = path.hasSuffix(".slice")
        var stem = path.split(separator: "/").last.map { String($0.dropLast(isSystemd ? 6 : 0)) } ?? ""
        for group in random.pick([[], ["burstable"], ["besteffort"], ["system"], ["system", "besteffort"], ["other"]]) {
            stem += "-" + group
            path += "/" + (isSystemd ? stem + ".slice" : group)
        }
        let digits = (0..<32).map { _ in random.pick(Array("0123456789abcdef")) }
        var uid = String(digits)
        if !random.oneIn(4) {
            let separator = isSystemd ? "_" : "-"
            uid = [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(digits[$0]) }.joined(separator: separator)
        }
        path += isSystemd ? "/\(stem)-pod\(uid).slice" : "/pod\(uid)"
        for _ in 0..<Int.random(in: 0...3, using: &random) {
            path += "/" + random.pick(words + [String(repeating: "ab", count: 32)])
        }
        var bytes = Array(path.utf8)
        if random.oneIn(2) {
            bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
        return bytes
    }
}
