import Attribution
import Operations
import Testing

@Suite struct CgroupDumpTests {
    private let uid = PodUID("34c94737-fd9b-4688-9caf-14636a9d6a94")

    private func dump(_ record: PodRecord?, path: String = "/kubepods/pod34c94737") throws -> CgroupDump {
        let uid = try #require(uid)
        let entry = CgroupIndexEntry(
            id: CgroupID(rawValue: 42), path: [UInt8](path.utf8), uid: uid, containerID: nil, kind: .pod
        )
        return CgroupDump(node: "n", kubepods: "/kubepods", entries: [entry]) { _ in record }
    }

    private func pod(_ change: (inout PodRecord) -> Void = { _ in }) throws -> PodRecord {
        var record = PodRecord(uid: try #require(uid), namespace: "ns", name: "web", serviceAccountName: "sa")
        change(&record)
        return record
    }

    @Test("a row says what the pod list says of the cgroup's pod")
    func states() throws {
        #expect(try dump(nil).rows[0].state == .unconfirmed)
        #expect(try dump(pod()).rows[0].state == .attributed)
        #expect(try dump(pod { $0.phase = .succeeded }).rows[0].state == .finished)
        #expect(try dump(pod { $0.staticPodConfigHash = "x" }).rows[0].state == .staticPod)
        #expect(try dump(pod { $0.isTerminating = true }).rows[0].isTerminating)
        #expect(try dump(pod { $0.policy = .deny }).rows[0].state == .denied)
        #expect(try dump(pod { $0.policy = .passthrough }).rows[0].state == .passthrough)
    }

    @Test("nothing in a cgroup's name can steer a terminal")
    func controlCharacters() throws {
        let table = try dump(pod(), path: "/kubepods/\u{1b}[2Jevil\u{202e}").table()
        #expect(!table.unicodeScalars.contains { $0.value == 0x1b || $0.value == 0x202e })
        #expect(table.contains("evil"))
    }

    @Test("columns are as wide as their widest value")
    func alignment() throws {
        let lines = try dump(pod()).table().split(separator: "\n")
        let header = try #require(lines.first).firstRange(of: "NAMESPACE")
        let value = try #require(lines.last).firstRange(of: "ns ")
        #expect(header?.lowerBound.utf16Offset(in: lines[0]) == value?.lowerBound.utf16Offset(in: lines[1]))
    }
}
