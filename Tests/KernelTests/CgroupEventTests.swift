import Attribution
import BPF
import Foundation
import Lab
import Testing

/// Both sources of cgroup events, on the real hierarchy.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct CgroupEventTests {
    enum Source: String, CaseIterable, Sendable {
        case tracepoints, inotify
    }

    private func withEvents(
        _ source: Source, layout: CgroupLayout = .standard,
        _ body: (DatapathLab, EventLog<CgroupEvent>) async throws -> Void
    ) async throws {
        try await withDatapath(layout: layout) { lab in
            let log = EventLog<CgroupEvent>()
            let events: any CgroupEventSource =
                switch source {
                case .tracepoints:
                    try TracepointCgroupEvents(
                        pinDirectory: lab.configuration.pinDirectory, cgroups: lab.cgroups
                    ) { log.record($0) }
                case .inotify:
                    try InotifyCgroupEvents(
                        cgroups: lab.cgroups, root: [UInt8](lab.node.kubepods.utf8), depth: 4
                    ) { log.record($0) }
                }
            #expect(events.mechanism == source.rawValue)
            try await body(lab, log)
            events.stop()
        }
    }

    @Test("making and removing a pod's cgroups is told by ID", arguments: Source.allCases)
    func podLifetime(source: Source) async throws {
        try await withEvents(source) { lab, log in
            let pod = try await lab.node.addPod(RunningPodSpecification(name: "a"))
            let podID = try #require(lab.cgroups.id(of: [UInt8](pod.cgroup.utf8)))
            let containerID = try #require(lab.cgroups.id(of: [UInt8](pod.containerCgroup.utf8)))
            try await log.wait { $0.contains(.made(podID)) && $0.contains(.made(containerID)) }
            #expect(lab.cgroups.path(of: podID) == [UInt8](pod.cgroup.utf8))
            await pod.removeCgroup()
            try await log.wait { $0.contains(.removed(podID)) && $0.contains(.removed(containerID)) }
            #expect(lab.cgroups.path(of: podID) == nil)
        }
    }

    @Test("the end of a pod's last process is told, and of every container's")
    func emptied() async throws {
        try await withEvents(.tracepoints) { lab, log in
            let pod = try await lab.node.addPod(RunningPodSpecification(name: "a"))
            let podID = try #require(lab.cgroups.id(of: [UInt8](pod.cgroup.utf8)))
            let containerID = try #require(lab.cgroups.id(of: [UInt8](pod.containerCgroup.utf8)))
            await lab.node.remove(pod)
            try await log.wait { $0.contains(.emptied(podID)) && $0.contains(.emptied(containerID)) }
        }
    }

    @Test("cgroups outside the kubepods root are not told", arguments: Source.allCases)
    func elsewhere(source: Source) async throws {
        try await withEvents(source) { lab, log in
            // Not directly beside the root: see the next test.
            let outside = lab.node.cgroupDirectory("/\(lab.node.identifier)/system")
            unsafe try #require(mkdir(outside, 0o755) == 0)
            unsafe try #require(mkdir(outside + "/pod", 0o755) == 0)
            let id = try #require(lab.cgroups.id(of: [UInt8]("/\(lab.node.identifier)/system/pod".utf8)))
            // Events are in order: the pod's, made later, is the proof that nothing came before it.
            let pod = try await lab.node.addPod(RunningPodSpecification(name: "a"))
            let podID = try #require(lab.cgroups.id(of: [UInt8](pod.cgroup.utf8)))
            let events = try await log.wait { $0.contains(.made(podID)) }
            #expect(!events.contains(.made(id)))
            unsafe rmdir(outside + "/pod")
            unsafe rmdir(outside)
        }
    }

    @Test(
        "cgroups below a container are not told, however many",
        arguments: [CgroupLayout.cgroupfs, .nestedThriceSystemd])
    func belowContainers(layout: CgroupLayout) async throws {
        try await withEvents(.tracepoints, layout: layout) { lab, log in
            let pods = [
                try await lab.node.addPod(RunningPodSpecification(name: "a", quality: .guaranteed)),
                try await lab.node.addPod(RunningPodSpecification(name: "b", quality: .burstable)),
                try await lab.node.addPod(RunningPodSpecification(name: "c", quality: .besteffort)),
            ]
            try lab.tellClasses()
            var told: Set<CgroupID> = []
            for pod in pods {
                for (path, isTold) in [("/x", true), ("/x/y", false), ("/x/y/z", false)] {
                    let path = pod.cgroup + path
                    unsafe try #require(mkdir(lab.node.cgroupDirectory(path), 0o755) == 0)
                    let id = try #require(lab.cgroups.id(of: [UInt8](path.utf8)))
                    if isTold { told.insert(id) }
                }
                for number in 0..<1000 {
                    let directory = lab.node.cgroupDirectory(pod.containerCgroup + "/\(number)")
                    unsafe try #require(mkdir(directory, 0o755) == 0)
                    unsafe rmdir(directory)
                }
            }
            // Events are in order: what is made last is the proof that nothing came before it.
            let last = pods[0].cgroup + "/last"
            unsafe try #require(mkdir(lab.node.cgroupDirectory(last), 0o755) == 0)
            told.insert(try #require(lab.cgroups.id(of: [UInt8](last.utf8))))
            let wanted = told
            let before = try await log.wait { wanted.isSubset(of: $0.compactMap(\.made)) }
            // The pods' and their classes' own are there as well.
            #expect(before.count <= told.count + 2 * pods.count + 2, "\(before)")
        }
    }

    @Test("another kubelet's kubepods is told, at whatever level root makes it")
    func otherRoots() async throws {
        try await withEvents(.tracepoints) { lab, log in
            let base = "/\(lab.node.identifier)/elsewhere"
            let paths = [base + "/deep/kubepods", base + "/a.slice/a-kubepods.slice", base + "/x/kubepods.slice"]
            let others = [base + "/deep/kubepods2", base + "/x/akubepods", base + "/x/kubepods.slic"]
            for path in others + paths {
                try FileManager.default.createDirectory(
                    atPath: lab.node.cgroupDirectory(path), withIntermediateDirectories: true)
            }
            func id(_ path: String) throws -> CgroupID { try #require(lab.cgroups.id(of: [UInt8](path.utf8))) }
            let wanted = try Set(paths.map(id))
            let events = try await log.wait { wanted.isSubset(of: $0.compactMap(\.made)) }
            #expect(try Set(others.map(id)).isDisjoint(with: events.compactMap(\.made)))
        }
    }

    @Test("a cgroup that is made beside the kubepods root is told: it may be the next root")
    func nextRoot() async throws {
        try await withEvents(.tracepoints) { lab, log in
            let kubepods = lab.node.cgroupDirectory(lab.node.kubepods)
            unsafe try #require(rmdir(kubepods) == 0)
            unsafe try #require(mkdir(kubepods, 0o755) == 0)
            let id = try #require(lab.cgroups.id(of: [UInt8](lab.node.kubepods.utf8)))
            try await log.wait { $0.contains(.made(id)) }
        }
    }

    @Test("events that the queue could not hold are reported as lost")
    func overflow() async throws {
        try await withEvents(.tracepoints) { lab, log in
            let gate = NSCondition()
            nonisolated(unsafe) var isOpen = false
            // A second consumer that stands still, while more is made than its queue holds.
            let slow = EventLog<CgroupEvent>(capacity: 100_000)
            let blocked = try TracepointCgroupEvents(
                pinDirectory: lab.configuration.pinDirectory, cgroups: lab.cgroups
            ) { event in
                gate.lock()
                while unsafe !isOpen { gate.wait() }
                gate.unlock()
                slow.record(event)
            }
            let directory = lab.node.cgroupDirectory(lab.node.kubepods) + "/burst"
            for _ in 0..<6000 {
                unsafe try #require(mkdir(directory, 0o755) == 0)
                unsafe rmdir(directory)
            }
            gate.withLock {
                unsafe isOpen = true
                gate.broadcast()
            }
            try await slow.wait(within: .seconds(60)) { $0.contains(.lost) }
            blocked.stop()
        }
    }

    @Test("a source that has stopped makes no other lose events: a replaced agent waits for long beside its successor")
    func stopped() async throws {
        try await withDatapath { lab in
            let pins = lab.configuration.pinDirectory
            let old = try TracepointCgroupEvents(pinDirectory: pins, cgroups: lab.cgroups) { _ in }
            let ends = EventLog<CgroupEvent>(capacity: 100_000)
            let events = try TracepointCgroupEvents(pinDirectory: pins, cgroups: lab.cgroups) { event in
                // A cgroup that has gone before it could be found has an end alone.
                if case .made = event { return }
                ends.record(event)
            }
            old.stop()
            let before = try lab.datapath.counters()["cgroup_event_lost"]
            let directory = lab.node.cgroupDirectory(lab.node.kubepods) + "/burst"
            // More in all than a queue holds, and never so much at once.
            for round in 1...16 {
                for _ in 0..<500 {
                    unsafe try #require(mkdir(directory, 0o755) == 0)
                    unsafe rmdir(directory)
                }
                try await ends.wait(forTotal: round * 500)
            }
            #expect(try lab.datapath.counters()["cgroup_event_lost"] == before)
            #expect(!ends.events.contains(.lost))
            events.stop()
            withExtendedLifetime(old) {}
        }
    }

    @Test("a cgroup is reported when it can be found by its ID, and not before", arguments: Source.allCases)
    func visibility(source: Source) async throws {
        try await withDatapath { lab in
            let cgroups = lab.cgroups
            let paths = EventLog<[UInt8]?>()
            let record: @Sendable (CgroupEvent) -> Void = { event in
                if case .made(let id) = event { paths.record(cgroups.path(of: id)) }
            }
            let events: any CgroupEventSource =
                switch source {
                case .tracepoints:
                    try TracepointCgroupEvents(
                        pinDirectory: lab.configuration.pinDirectory, cgroups: cgroups, handle: record)
                case .inotify:
                    try InotifyCgroupEvents(
                        cgroups: cgroups, root: [UInt8](lab.node.kubepods.utf8), depth: 4, handle: record)
                }
            let names = (0..<100).map { lab.node.kubepods + "/pod\($0)" }
            for name in names { unsafe try #require(mkdir(lab.node.cgroupDirectory(name), 0o755) == 0) }
            let told = try await paths.wait { $0.count == names.count }
            #expect(Set(told) == Set(names.map { [UInt8]($0.utf8) }))
            events.stop()
        }
    }

    @Test("a cgroup's end is told even if it came before anybody could find the cgroup")
    func shortLived() async throws {
        try await withEvents(.tracepoints) { lab, log in
            for number in 0..<500 {
                let directory = lab.node.cgroupDirectory(lab.node.kubepods) + "/pod\(number)"
                unsafe try #require(mkdir(directory, 0o755) == 0)
                unsafe rmdir(directory)
            }
            // Each has its end, with its beginning or without.
            let events = try await log.wait { events in
                events.contains(.lost) || events.count { if case .removed = $0 { true } else { false } } == 500
            }
            #expect(!events.contains(.lost))
        }
    }

    @Test("what is not there yet is looked for again, in order, until it is there, removed, or given up")
    func unfinished() {
        let ids = (1...4).map { CgroupID(rawValue: $0) }
        var unfinished = UnfinishedCgroups()
        for id in ids { _ = unfinished.insert(id) }
        let atFirst = unfinished.takeFound { _ in false }
        #expect(atFirst == [])
        unfinished.remove(ids[3])
        unfinished.remove(ids[3])
        let found = unfinished.takeFound { $0 != ids[1] }
        #expect(found == [ids[0], ids[2]])
        #expect(!unfinished.isEmpty)
        for _ in 0..<UnfinishedCgroups.maxAttempts { _ = unfinished.takeFound { _ in false } }
        #expect(unfinished.isEmpty)
        let fits = (0...UnfinishedCgroups.capacity).map { unfinished.insert(CgroupID(rawValue: UInt64($0))) }
        #expect(fits.count { !$0 } == 1 && fits.last == false)
    }

    @Test("a path is found by ID only while its cgroup exists, and never by a namesake")
    func namesakes() async throws {
        try await withDatapath { lab in
            let path = lab.node.kubepods + "/twice"
            let directory = lab.node.cgroupDirectory(path)
            unsafe try #require(mkdir(directory, 0o755) == 0)
            let first = try #require(lab.cgroups.id(of: [UInt8](path.utf8)))
            unsafe rmdir(directory)
            unsafe try #require(mkdir(directory, 0o755) == 0)
            let second = try #require(lab.cgroups.id(of: [UInt8](path.utf8)))
            #expect(first != second)
            #expect(lab.cgroups.path(of: first) == nil)
            #expect(lab.cgroups.path(of: second) == [UInt8](path.utf8))
            unsafe rmdir(directory)
        }
    }
}

extension CgroupEvent {
    /// The cgroup that was made.
    fileprivate var made: CgroupID? { if case .made(let id) = self { id } else { nil } }
}

extension DatapathLab {
    /// Tells the programs the QoS classes that there are.
    fileprivate func tellClasses() throws {
        let root = try KubepodsRoot(node.kubepods)
        let kubepods = try #require(try cgroups.locate(root.path))
        try datapath.setKubepods(
            KubepodsCgroup(
                id: kubepods.id, level: kubepods.level, qosClasses: root.qosClassPaths.map { cgroups.id(of: $0) }))
    }
}
