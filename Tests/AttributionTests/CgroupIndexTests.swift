import Attribution
import Testing

@Suite struct CgroupIndexTests {
    static let web = "/kubepods/burstable/pod\(PodUID.web)"
    static let victim = "/kubepods/pod\(PodUID.victim)"

    /// QoS 10, the web pod 11 with container 12 and its child 13; the victim's pod 21 with container 22.
    let cgroups = FakeCgroups([
        10: "/kubepods/burstable", 11: web, 12: "\(web)/\(container64a)",
        13: "\(web)/\(container64a)/pod\(PodUID.victim)",
        21: victim, 22: "\(victim)/cri-containerd-\(container64b).scope",
    ])
    let index: CgroupIndex

    init() {
        self.index = CgroupIndex(root: .cgroupfs, resolver: self.cgroups)
    }

    private func observe(_ ids: UInt64...) throws {
        for id in ids { self.index.observe(CgroupID(id), path: try #require(self.cgroups.path(of: CgroupID(id)))) }
    }

    @Test func `observed cgroups are found without resolving anything`() throws {
        try self.observe(10, 11, 12, 13, 21, 22)
        let before = self.cgroups.resolutions
        let caller = AttributedCgroup(cgroupID: CgroupID(11), uid: .web, containerID: container64a)
        #expect(self.index.pod(for: CallerTag(10, 11, 12)) == caller)
        #expect(self.index.pod(for: CallerTag(10, 11, 12, 13)) == caller)
        #expect(self.index.pod(for: CallerTag(10, 11)) == AttributedCgroup(cgroupID: CgroupID(11), uid: .web))
        #expect(self.index.pod(for: CallerTag(21, 22))?.containerID == container64b)
        #expect(self.cgroups.resolutions == before)
        #expect(self.index.counters == CgroupIndexCounters(hits: 4))
    }

    @Test func `unknown cgroups are resolved once and then known`() {
        let caller = AttributedCgroup(cgroupID: CgroupID(11), uid: .web, containerID: container64a)
        #expect(self.index.pod(for: CallerTag(10, 11, 12, 13)) == caller)
        #expect(self.cgroups.resolutions == 3)
        #expect(self.index.pod(for: CallerTag(10, 11, 12, 13)) == caller)
        #expect(self.cgroups.resolutions == 3)
        #expect(self.index.counters == CgroupIndexCounters(hits: 1, resolved: 1))
    }

    @Test func `pods in the partition system are found at the third level`() {
        self.cgroups.make(30, "/kubepods/system")
        self.cgroups.make(31, "/kubepods/system/besteffort")
        self.cgroups.make(32, "/kubepods/system/besteffort/pod\(PodUID.web)")
        self.cgroups.make(33, "/kubepods/system/besteffort/pod\(PodUID.web)/\(container64a)")
        let tag = CallerTag(30, 31, 32, 33)
        #expect(self.index.pod(for: tag)?.cgroupID == CgroupID(32))
        #expect(self.index.pod(for: tag)?.containerID == container64a)
    }

    @Test func `a removed pod is gone, and so is its container's label`() throws {
        try self.observe(11, 12)
        self.cgroups.remove(11)
        self.cgroups.remove(12)
        self.index.remove(CgroupID(11))
        #expect(self.index.snapshot() == [])
        #expect(self.index.lookUp(CallerTag(10, 11, 12)) == .gone)
        #expect(self.index.pod(for: CallerTag(10, 11, 12)) == nil)
        #expect(self.index.counters.unresolved == 2)
    }

    @Test func `cgroups that are no pod's are told from cgroups that are gone`() {
        self.cgroups.make(40, "/kubepods/evil")
        self.cgroups.make(41, "/kubepods/evil/pod\(PodUID.victim)")
        #expect(self.index.lookUp(CallerTag(40, 41)) == .notInPod)
        #expect(self.index.lookUp(CallerTag(10)) == .notInPod)
        #expect(self.index.lookUp(CallerTag()) == .notInPod)
        #expect(self.index.lookUp(CallerTag(10, 99)) == .gone)
        #expect(self.index.lookUp(CallerTag(98, 99)) == .gone)
    }

    @Test func `a pod's name counts only at its own depth below the root`() {
        // Tags of another root's level: the pod is there, but not where the tag has it.
        #expect(self.index.lookUp(CallerTag(11, 12)) == .notInPod)
        #expect(self.index.lookUp(CallerTag(10, 21)) == .notInPod)
    }

    @Test func `a missing label refuses nothing`() throws {
        try self.observe(11)
        self.cgroups.remove(12)
        let bare = AttributedCgroup(cgroupID: CgroupID(11), uid: .web)
        #expect(self.index.pod(for: CallerTag(10, 11, 12)) == bare)
        self.cgroups.make(14, "\(Self.web)/crio-conmon-\(container64a).scope")
        #expect(self.index.pod(for: CallerTag(10, 11, 14)) == bare)
        let before = self.cgroups.resolutions
        #expect(self.index.pod(for: CallerTag(10, 11, 14)) == bare)
        #expect(self.cgroups.resolutions == before)
    }

    @Test func `another pod's container gives no label`() throws {
        try self.observe(11, 21, 22)
        #expect(self.index.pod(for: CallerTag(10, 11, 22)) == AttributedCgroup(cgroupID: CgroupID(11), uid: .web))
        #expect(self.index.pod(for: CallerTag(21, 22))?.containerID == container64b)
    }

    @Test func `a pod's cgroup that was made again attributes beside the old one`() throws {
        try self.observe(11, 12)
        self.cgroups.make(15, Self.web)
        self.cgroups.make(16, "\(Self.web)/\(container64b)")
        try self.observe(15, 16)
        #expect(self.index.pod(for: CallerTag(10, 11, 12))?.containerID == container64a)
        #expect(self.index.pod(for: CallerTag(10, 15, 16))?.containerID == container64b)
        self.index.remove(CgroupID(11))
        self.cgroups.make(17, "\(Self.web)/docker-\(container64b).scope")
        try self.observe(17)
        #expect(self.index.snapshot().map(\.id) == [CgroupID(15), CgroupID(16), CgroupID(17)])
    }

    @Test(arguments: [11, 12] as [UInt64])
    func `what is removed while it is resolved is not kept`(_ removed: UInt64) {
        let index = self.index
        self.cgroups.afterResolving { if $0 == CgroupID(removed) { index.remove($0) } }
        #expect(self.index.pod(for: CallerTag(10, 11, 12))?.uid == .web)
        #expect(!self.index.snapshot().contains { $0.id == CgroupID(removed) })
    }

    @Test func `one pod cannot fill the index`() throws {
        try self.observe(11, 21)
        for id in 1000..<1300 as Range<UInt64> {
            self.index.observe(CgroupID(id), path: "\(Self.web)/x\(id)".bytes)
        }
        #expect(self.index.snapshot().count == 2 + 256)
        #expect(self.index.counters.refusedByLimit == 300 - 256)
        // The pod goes without labels and without costing anything; the other pod has its own.
        let before = self.cgroups.resolutions
        #expect(self.index.pod(for: CallerTag(10, 11, 12)) == AttributedCgroup(cgroupID: CgroupID(11), uid: .web))
        #expect(self.cgroups.resolutions == before)
        #expect(self.index.pod(for: CallerTag(21, 22))?.containerID == container64b)
        // A removal makes room.
        self.index.remove(CgroupID(1000))
        #expect(self.index.pod(for: CallerTag(10, 11, 12))?.containerID == container64a)
    }

    @Test func `a full index still attributes`() throws {
        let index = CgroupIndex(root: .cgroupfs, resolver: self.cgroups, limit: 2)
        index.observe(CgroupID(11), path: Self.web.bytes)
        index.observe(CgroupID(12), path: "\(Self.web)/\(container64a)".bytes)
        for _ in 0..<2 {
            #expect(index.pod(for: CallerTag(21, 22))?.uid == .victim)
            #expect(index.pod(for: CallerTag(21, 22))?.containerID == container64b)
        }
        #expect(index.snapshot().count == 2)
        #expect(index.counters == CgroupIndexCounters(resolved: 4, refusedByLimit: 4))
    }

    @Test func `a name that no runtime would choose is not kept`() throws {
        try self.observe(11)
        let longest = String(repeating: "n", count: 255)
        self.index.observe(CgroupID(50), path: "\(Self.web)/\(longest)".bytes)
        self.index.observe(CgroupID(51), path: "\(Self.web)/\(longest)n".bytes)
        #expect(self.index.snapshot().map(\.id) == [CgroupID(11), CgroupID(50)])
        #expect(self.index.counters.refusedByLimit == 1)
    }

    @Test func `the snapshot is ordered and complete`() throws {
        try self.observe(21, 11, 13, 22, 12, 10)
        #expect(
            self.index.snapshot() == [
                CgroupIndexEntry(id: CgroupID(11), path: Self.web.bytes, uid: .web, kind: .pod),
                CgroupIndexEntry(
                    id: CgroupID(12), path: "\(Self.web)/\(container64a)".bytes, uid: .web, containerID: container64a,
                    kind: .container
                ),
                CgroupIndexEntry(id: CgroupID(21), path: Self.victim.bytes, uid: .victim, kind: .pod),
                CgroupIndexEntry(
                    id: CgroupID(22), path: "\(Self.victim)/cri-containerd-\(container64b).scope".bytes, uid: .victim,
                    containerID: container64b, kind: .container
                ),
            ]
        )
    }
}

@Suite struct CgroupIndexWalkTests {
    static let web = CgroupIndexTests.web.bytes
    static let webContainer = "\(CgroupIndexTests.web)/\(container64a)".bytes
    static let victim = CgroupIndexTests.victim.bytes

    let index = CgroupIndex(root: .cgroupfs, resolver: FakeCgroups(), limit: 4)

    private var ids: [UInt64] { self.index.snapshot().map(\.id.rawValue) }

    @Test func `a walk brings what events lost, children before parents too`() {
        let walk = self.index.beginWalk()
        #expect(self.index.replace(with: [(CgroupID(12), Self.webContainer), (CgroupID(11), Self.web)], since: walk))
        #expect(self.ids == [11, 12])
    }

    @Test func `a walk drops what is not there any more and keeps what is`() {
        self.index.observe(CgroupID(11), path: Self.web)
        self.index.observe(CgroupID(12), path: Self.webContainer)
        self.index.observe(CgroupID(21), path: Self.victim)
        let walk = self.index.beginWalk()
        #expect(self.index.replace(with: [(CgroupID(11), Self.web), (CgroupID(12), Self.webContainer)], since: walk))
        #expect(self.ids == [11, 12])
        let next = self.index.beginWalk()
        #expect(self.index.replace(with: [(CgroupID(11), Self.web)], since: next))
        #expect(self.ids == [11])
        let last = self.index.beginWalk()
        #expect(self.index.replace(with: [], since: last))
        #expect(self.ids == [])
    }

    @Test func `what was observed or resolved since the walk began stays`() {
        let cgroups = FakeCgroups([21: CgroupIndexTests.victim])
        let index = CgroupIndex(root: .cgroupfs, resolver: cgroups)
        index.observe(CgroupID(11), path: Self.web)
        let walk = index.beginWalk()
        index.observe(CgroupID(11), path: Self.web)
        index.observe(CgroupID(12), path: Self.webContainer)
        #expect(index.pod(for: CallerTag(21))?.uid == .victim)
        #expect(index.replace(with: [], since: walk))
        #expect(index.snapshot().map(\.id.rawValue) == [11, 12, 21])
    }

    @Test func `what was removed since the walk began does not come back`() {
        self.index.observe(CgroupID(11), path: Self.web)
        let walk = self.index.beginWalk()
        self.index.remove(CgroupID(11))
        self.index.remove(CgroupID(21))
        #expect(self.index.replace(with: [(CgroupID(11), Self.web), (CgroupID(21), Self.victim)], since: walk))
        #expect(self.ids == [])
    }

    @Test func `what is gone makes room for what is new`() {
        for id in 0..<4 {
            self.index.observe(CgroupID(UInt64(100 + id)), path: "/kubepods/pod\(PodUID.numbered(id))".bytes)
        }
        let walk = self.index.beginWalk()
        let met = (4..<8).map { (CgroupID(UInt64(100 + $0)), "/kubepods/pod\(PodUID.numbered($0))".bytes) }
        #expect(self.index.replace(with: met, since: walk))
        #expect(self.ids == [104, 105, 106, 107])
        #expect(self.index.counters.refusedByLimit == 0)
    }

    @Test func `a walk that was superseded, used, or outrun by removals does not count`() {
        let first = self.index.beginWalk()
        let second = self.index.beginWalk()
        #expect(!self.index.replace(with: [(CgroupID(11), Self.web)], since: first))
        #expect(self.index.replace(with: [(CgroupID(11), Self.web)], since: second))
        #expect(!self.index.replace(with: [], since: second))
        #expect(self.ids == [11])

        let third = self.index.beginWalk()
        for id in 200..<205 as Range<UInt64> { self.index.remove(CgroupID(id)) }
        #expect(!self.index.replace(with: [], since: third))
        #expect(self.ids == [11])
        #expect(self.index.replace(with: [], since: self.index.beginWalk()))
        #expect(self.ids == [])
    }
}
