import Attribution
import Operations
import Testing

@Suite struct CgroupViewTests {
    private let uid = "34c94737-fd9b-4688-9caf-14636a9d6a94"
    private let other = "263760fa-943b-4596-8bfd-672bfa608c16"
    private let container = String(repeating: "ab", count: 32)

    private func dump(_ source: DumpSource = .agent, containerOnly: Bool = false) throws -> CgroupDump {
        let (uid, other) = (try #require(PodUID(uid)), try #require(PodUID(other)))
        let path = "/kubepods/besteffort/pod\(uid)"
        var entries = [
            CgroupIndexEntry(id: .init(rawValue: 41), path: Array(path.utf8), uid: uid, kind: .pod),
            CgroupIndexEntry(
                id: .init(rawValue: 42), path: Array("\(path)/\(container)".utf8), uid: uid, containerID: container,
                kind: .container),
            CgroupIndexEntry(
                id: .init(rawValue: 43), path: Array("/kubepods/pod\(other)".utf8), uid: other, kind: .pod),
        ]
        if containerOnly { entries.removeFirst(2) }
        let record = PodRecord(uid: uid, namespace: "shop", name: "web-1", serviceAccountName: "web")
        return CgroupDump(node: "n", kubepods: "/kubepods", source: source, entries: entries) {
            $0 == uid ? record : nil
        }
    }

    @Test("every filter must match")
    func filters() throws {
        let dump = try dump()
        func ids(_ filter: CgroupFilter) -> [UInt64] { dump.filtered(by: filter).rows.map(\.cgroupID) }
        #expect(ids(CgroupFilter()) == [41, 42, 43])
        #expect(ids(CgroupFilter(namespace: "shop")) == [41, 42])
        #expect(ids(CgroupFilter(pod: "web-1", cgroupID: 42)) == [42])
        #expect(ids(CgroupFilter(uid: other)) == [43])
        #expect(ids(CgroupFilter(namespace: "other", uid: uid)).isEmpty)
    }

    @Test("the tree hangs containers below their pods, and pods below the kubelet's groups")
    func tree() throws {
        #expect(
            try dump().tree() == """
                /kubepods
                ├─ besteffort
                │  └─ shop/web-1 as web [41] attributed
                │     └─ container abababababab [42]
                └─ pod \(other) [43] unconfirmed

                """)
    }

    @Test("what the kernel alone says is marked so, and never called attributed")
    func kernel() throws {
        let dump = try dump(.kernel)
        #expect(dump.rows.allSatisfy { $0.state == .unverified })
        #expect(dump.summary().hasSuffix("from the kernel"))
    }

    @Test("changes are what came, what went and what is another's now")
    func changes() throws {
        let all = try dump()
        let less = try dump(containerOnly: true)
        #expect(all.changes(since: less).map(\.kind) == [.added, .added])
        #expect(less.changes(since: all).map(\.row.cgroupID) == [41, 42])
        #expect(all.changes(since: all).isEmpty)
        var confirmed = all
        confirmed.rows[2].state = .attributed
        #expect(
            confirmed.changes(since: all).map(\.description) == ["~ 43 - \(other) attributed /kubepods/pod\(other)"])
    }

    @Test(
        "a narrow terminal cuts names and paths, then leaves columns out, and keeps identifiers whole",
        arguments: [80, 100, 130])
    func width(columns: Int) throws {
        let terminal = Terminal(isInteractive: true, columns: columns, usesColor: false)
        let lines = try dump().table(on: terminal).split(separator: "\n")
        #expect(lines.allSatisfy { $0.count <= columns }, "\(lines)")
        #expect(lines[1].contains(uid) && lines[1].contains("attributed"))
        #expect(lines[0].contains("PATH") == (columns == 130))
        if columns == 130 {
            #expect(lines[1].contains("…") && lines[1].hasSuffix(uid.suffix(4)), "a path keeps its end")
        }
    }

    @Test("colours are for terminals")
    func colours() throws {
        let terminal = Terminal(isInteractive: true, columns: nil, usesColor: true)
        #expect(try dump().table(on: terminal).contains("\u{1b}[32mattributed\u{1b}[0m"))
        #expect(try !dump().table().contains("\u{1b}"))
        #expect(try !dump().tree().contains("\u{1b}"))
    }
}
