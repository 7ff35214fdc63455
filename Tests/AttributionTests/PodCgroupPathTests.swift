import Attribution
import Foundation
import Testing

/// The table of every layout seen in the wild, and of the forged ones.
@Suite struct CgroupPathTableTests {
    struct Row: Sendable, CustomTestStringConvertible {
        var line: Int
        var path: [UInt8]
        var uid: String?
        var containerID: String?
        var tags: Set<Substring>
        var roots: [KubepodsRoot]

        var testDescription: String { "line \(self.line)" }
        func has(_ tag: Substring) -> Bool { self.tags.contains(tag) }
    }

    static func rows() throws -> [Row] {
        let url = try #require(
            Bundle.module.url(forResource: "cgroup-paths", withExtension: "tsv", subdirectory: "Fixtures"))
        let lines = try String(contentsOf: url, encoding: .utf8).split(
            separator: "\n", omittingEmptySubsequences: false)
        return try lines.enumerated().dropFirst().compactMap { index, line in
            if line.isEmpty { return nil }
            let columns = line.split(separator: "\t", omittingEmptySubsequences: false)
            try #require(columns.count == 5, "line \(index + 1)")
            let tags = Set(columns[3].split(separator: ";"))
            let root = tags.first { $0.hasPrefix("root=") }?.dropFirst("root=".count)
            return Row(
                line: index + 1,
                path: try Self.unescape(columns[0]),
                uid: columns[1] == "-" ? nil : String(columns[1]),
                containerID: columns[2] == "-" ? nil : String(columns[2]),
                tags: tags,
                roots: try root.map { [try KubepodsRoot(String($0))] } ?? KubepodsRoot.defaults
            )
        }
    }

    /// `\\` is one backslash, `\xHH` one byte.
    private static func unescape(_ column: Substring) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = column.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "\\") else {
                bytes.append(byte)
                continue
            }
            let escape = rest.popFirst()
            if escape == UInt8(ascii: "x") {
                bytes.append(try #require(UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)))
                rest = rest.dropFirst(2)
            } else {
                try #require(escape == UInt8(ascii: "\\"))
                bytes.append(UInt8(ascii: "\\"))
            }
        }
        return bytes
    }

    @Test(arguments: try rows())
    func `the verdict is the table's`(_ row: Row) {
        let verdicts = row.roots.compactMap { $0.parse(row.path) }
        #expect(verdicts.count <= 1)
        if verdicts.isEmpty, row.has("may-refuse") { return }
        #expect(verdicts.first?.uid.description == row.uid)
        #expect(verdicts.first?.containerID == row.containerID)
    }

    @Test(
        arguments: try rows().filter { !Set(["colon-form", "cgns", "nonpod", "unanchored"]).isDisjoint(with: $0.tags) })
    func `what lies outside the root is refused, also where the table leaves it open`(_ row: Row) {
        #expect(row.roots.allSatisfy { $0.parse(row.path) == nil })
    }

    @Test(arguments: try rows().filter { $0.uid != nil && ($0.has("podlevel") || $0.has("nested-below-container")) })
    func `the level is that of the table's tag`(_ row: Row) throws {
        let verdict = try #require(row.roots.lazy.compactMap { $0.parse(row.path) }.first)
        #expect(verdict.level == (row.has("podlevel") ? .pod : .below))
    }

    @Test func `no row is skipped`() throws {
        let rows = try Self.rows()
        #expect(rows.count == 381)
        #expect(rows.count { $0.uid != nil } > 150)
        #expect(rows.count { $0.has("adversarial") } > 100)
    }
}

@Suite struct PodCgroupPathTests {
    struct Case: CustomTestStringConvertible {
        var path: String
        var depth: Int
        var level: PodCgroupPath.Level
        var testDescription: String { self.path }
    }

    @Test(arguments: [
        Case(path: "/pod\(PodUID.web)", depth: 1, level: .pod),
        Case(path: "/burstable/pod\(PodUID.web)", depth: 2, level: .pod),
        Case(path: "/system/pod\(PodUID.web)", depth: 2, level: .pod),
        Case(path: "/system/besteffort/pod\(PodUID.web)", depth: 3, level: .pod),
        Case(path: "/pod\(PodUID.web)/\(container64a)", depth: 1, level: .container),
        Case(path: "/besteffort/pod\(PodUID.web)/whatever", depth: 2, level: .container),
        Case(path: "/system/burstable/pod\(PodUID.web)/\(container64a)/x", depth: 3, level: .below),
        Case(path: "/pod\(PodUID.web)/\(container64a)/x/y/z", depth: 1, level: .below),
    ])
    func `tells the pod's depth and the cgroup's level`(_ example: Case) throws {
        let parsed = try #require(KubepodsRoot.cgroupfs.parse("/kubepods\(example.path)".bytes))
        #expect(parsed.uid == .web)
        #expect(parsed.podDepth == example.depth)
        #expect(parsed.level == example.level)
    }

    @Test(arguments: ["", "cri-containerd-", "crio-", "cri-o-", "docker-"])
    func `knows the runtimes' container names`(_ prefix: String) {
        let pod = "/kubepods/pod\(PodUID.web)/"
        #expect(KubepodsRoot.cgroupfs.parse("\(pod)\(prefix)\(container64a)".bytes)?.containerID == container64a)
        let scope = KubepodsRoot.cgroupfs.parse("\(pod)\(prefix)\(container64a).scope".bytes)
        #expect(scope?.containerID == (prefix.isEmpty ? nil : container64a))
    }

    @Test(arguments: ["/", "//x", "/\(container64a)/"])
    func `refuses paths that the kernel does not write`(_ suffix: String) {
        #expect(KubepodsRoot.cgroupfs.parse("/kubepods/pod\(PodUID.web)\(suffix)".bytes) == nil)
    }

    private static let roots =
        KubepodsRoot.defaults
        + [try? KubepodsRoot("/docker/x/kubepods"), try? KubepodsRoot("/a.slice/a-kubepods.slice")]
        .compactMap(\.self)

    private static let fragments: [[UInt8]] =
        ([
            "/", "//", "/kubepods", "/kubelet", "/kubepods.slice", "/kubelet.slice", "/kubelet-kubepods.slice",
            "/docker/x",
            "/burstable", "/besteffort", "/system", "/kubepods-burstable.slice", "/kubelet-kubepods-besteffort.slice",
            "/a.slice", "/a-kubepods.slice", "/pod\(PodUID.web)", "/pod\(PodUID.victim)", "/pod\(PodUID.staticHash)",
            "/kubepods-pod22222222_2222_4222_8222_222222222222.slice", "pod", ".slice", "-", "_", "/..", "/.", ":", " ",
            "/kubepods-burstable-pod11111111_1111_4111_8111_111111111111.slice",
            "/a-kubepods-pod\(PodUID.staticHash).slice",
            "/\(container64a)", "/cri-containerd-\(container64b).scope", " (deleted)", "\u{0}", "é",
        ] as [String]).map(\.bytes) + [[0xff], [0xc0, 0xaf]]

    /// Paths made of the pieces that the grammar knows, some cut or with a byte changed.
    private static func randomPath(using random: inout SplitMix64) -> [UInt8] {
        var path = Int.random(in: 0..<4, using: &random) > 0 ? Self.roots.randomElement(using: &random)?.path ?? [] : []
        for _ in 0..<Int.random(in: 0...6, using: &random) {
            path += Self.fragments.randomElement(using: &random) ?? []
        }
        if !path.isEmpty, Int.random(in: 0..<4, using: &random) == 0 {
            let position = Int.random(in: path.indices, using: &random)
            if Bool.random(using: &random) {
                path[position] = UInt8.random(in: .min ... .max, using: &random)
            } else {
                path.removeLast(path.count - position)
            }
        }
        return path
    }

    @Test(arguments: 0..<4 as Range<UInt64>)
    func `random paths are attributed inside the root only, and by the names down to the pod`(_ seed: UInt64) throws {
        var random = SplitMix64(state: seed)
        var attributed = 0
        for _ in 0..<10_000 {
            let path = Self.randomPath(using: &random)
            for root in Self.roots {
                guard let parsed = root.parse(path) else { continue }
                attributed += 1
                // Rebuilt here from the other end: what a kubelet with this driver would have called the pod.
                let uid = parsed.uid.description
                let name = root.driver == .cgroupfs ? "pod\(uid)" : "-pod\(uid.replacing("-", with: "_")).slice"
                let components = path.dropFirst(root.path.count + 1).split(separator: UInt8(ascii: "/"))
                #expect(path.starts(with: root.path + "/".utf8))
                #expect(components[parsed.podDepth - 1].suffix(name.utf8.count).elementsEqual(name.utf8))
            }
        }
        #expect(attributed > 100)
    }

    @Test(arguments: 0..<4 as Range<UInt64>)
    func `nothing below a container changes whose it is`(_ seed: UInt64) throws {
        var random = SplitMix64(state: seed)
        let honest = "/kubepods.slice/kubepods-pod11111111_1111_4111_8111_111111111111.slice/crio-\(container64a).scope"
        let attacker = try #require(KubepodsRoot.systemd.parse(honest.bytes))
        for _ in 0..<2000 {
            var path = honest.bytes + "/".utf8
            for _ in 0..<Int.random(in: 0...6, using: &random) {
                path += Self.fragments.randomElement(using: &random) ?? []
            }
            path.append(UInt8(ascii: "x"))
            let parsed = try #require(KubepodsRoot.systemd.parse(path))
            #expect(parsed.uid == attacker.uid)
            #expect(parsed.containerID == container64a)
            #expect(parsed.level == .below)
        }
    }

    @Test func `random bytes never attribute`() {
        var random = SplitMix64(state: 42)
        for _ in 0..<5000 {
            let path = (0..<Int.random(in: 0...300, using: &random)).map { _ in
                UInt8.random(in: .min ... .max, using: &random)
            }
            #expect(Self.roots.allSatisfy { $0.parse(path) == nil })
        }
    }
}
