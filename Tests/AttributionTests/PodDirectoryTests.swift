import Attribution
import Synchronization
import Testing

/// Remembers what it was told.
final class Departures: Sendable {
    private let uids = Mutex<[PodUID]>([])
    var all: [PodUID] { self.uids.withLock { $0 } }
    func note(_ uid: PodUID) { self.uids.withLock { $0.append(uid) } }
}

/// Looks the pod up when its departure is told.
final class DepartureWitness: Sendable {
    let directory = Mutex<PodDirectory?>(nil)
    let found = Mutex<[PodRecord?]>([])

    func note(_ uid: PodUID) {
        let record = directory.withLock { $0 }?.record(for: uid)
        found.withLock { $0.append(record) }
    }
}

@Suite struct PodDirectoryTests {
    let departures = Departures()
    let directory: PodDirectory

    init() {
        self.directory = PodDirectory { [departures] in departures.note($0) }
    }

    @Test func `a pod is found by its UID until it is deleted`() {
        #expect(self.directory.standing(of: .web) == .unknown)
        self.directory.apply(.updated(.web))
        #expect(self.directory.record(for: .web) == .web)
        #expect(self.directory.record(for: .victim) == nil)
        self.directory.apply(.deleted(.web))
        #expect(self.directory.record(for: .web) == nil)
        #expect(self.directory.standing(of: .web) == .terminated)
        #expect([self.directory.count, self.directory.departedCount] == [0, 1])
    }

    @Test func `an event from before a pod's end does not bring it back, and a list does`() {
        #expect(self.directory.apply(.updated(.web)))
        #expect(self.directory.apply(.deleted(.web)))
        #expect(!self.directory.apply(.updated(.web)))
        #expect(self.directory.standing(of: .web) == .terminated)
        #expect(self.directory.apply(.replaced([.web])))
        #expect(self.directory.standing(of: .web) == .known(.web))
        #expect(self.directory.apply(.updated(.web)))
        #expect(self.departures.all == [.web])
    }

    @Test(arguments: [true, false])
    func `a UID's second pod is found once the first one's departure was told`(_ isListed: Bool) {
        let witness = DepartureWitness()
        let watched = PodDirectory { witness.note($0) }
        witness.directory.withLock { $0 = watched }
        let other = PodRecord(uid: .web, namespace: "shop", name: "web-1", serviceAccountName: "web")
        watched.apply(.updated(.web))
        watched.apply(isListed ? .replaced([other]) : .updated(other))
        #expect(witness.found.withLock { $0 } == [nil])
        #expect(watched.record(for: .web) == other)
        witness.directory.withLock { $0 = nil }
    }

    /// A restored backup may bring a UID back with another pod: what the former pod had is dropped.
    @Test(arguments: [true, false])
    func `a UID that another pod has is a departure`(_ isListed: Bool) {
        for (name, account) in [("web-1", "web"), ("web-0", "admin")] {
            let other = PodRecord(uid: .web, namespace: "shop", name: name, serviceAccountName: account)
            self.directory.apply(.updated(.web))
            let before = self.departures.all.count
            #expect(self.directory.apply(isListed ? .replaced([other]) : .updated(other)))
            #expect(self.directory.record(for: .web) == other)
            #expect(self.departures.all.count == before + 1 && self.departures.all.last == .web)
        }
    }

    @Test(arguments: [PodRecord.Phase.succeeded, .failed, .unknown, .pending])
    func `the latest record counts, and a pod stays known whatever its phase`(_ phase: PodRecord.Phase) {
        self.directory.apply(.updated(.web))
        var changed = PodRecord.web
        changed.phase = phase
        changed.isTerminating = true
        self.directory.apply(.updated(changed))
        #expect(self.directory.record(for: .web) == changed)
        #expect(self.directory.count == 1)
        #expect(self.departures.all == [])
    }

    @Test func `a mirror pod is found by its configuration hash and not by its own UID`() {
        self.directory.apply(.replaced([.web, .mirror]))
        #expect(self.directory.record(for: .staticHash) == .mirror)
        #expect(self.directory.record(for: .mirror) == nil)
        #expect(self.directory.count == 2)
        self.directory.apply(.deleted(.mirror))
        #expect(self.directory.record(for: .staticHash) == nil)
        #expect(self.directory.standing(of: .staticHash) == .unknown)
    }

    @Test func `a mirror pod that is made again is found, in whichever order the two events come`() {
        var again = PodRecord.mirror
        again.uid = .victim
        let old = PodEvent.updated(.mirror)
        let new = PodEvent.updated(again)
        for events in [[old, new, .deleted(.mirror)], [new, old, .deleted(.mirror)], [old, .deleted(.mirror), new]] {
            let directory = PodDirectory()
            for event in events { directory.apply(event) }
            #expect(directory.record(for: .staticHash) == again)
        }
    }

    @Test func `a mirror pod whose manifest changed is found by its new hash only`() throws {
        var changed = PodRecord.mirror
        changed.staticPodConfigHash = "ffffffffffffffffffffffffffffffff"
        self.directory.apply(.updated(.mirror))
        self.directory.apply(.updated(changed))
        #expect(self.directory.record(for: .staticHash) == nil)
        #expect(self.directory.record(for: try #require(PodUID("ffffffffffffffffffffffffffffffff"))) == changed)
    }

    @Test func `a mirror pod that claims another pod's UID takes nothing from it`() {
        var forged = PodRecord.mirror
        forged.staticPodConfigHash = PodUID.victim.description
        self.directory.apply(.replaced([.victim, forged]))
        #expect(self.directory.record(for: .victim) == .victim)
        self.directory.apply(.updated(forged))
        self.directory.apply(.deleted(.mirror))
        #expect(self.directory.record(for: .victim) == .victim)
    }

    @Test func `a mirror pod of another name takes no static pod from the kubelet's`() {
        var forged = PodRecord.mirror
        (forged.uid, forged.namespace, forged.name) = (.victim, "tenant", "forged")
        var changed = PodRecord.mirror
        changed.isTerminating = true
        for event in [
            PodEvent.updated(.mirror), .updated(forged), .updated(changed), .replaced([forged, changed]),
            .updated(forged),
        ] {
            self.directory.apply(event)
            #expect(self.directory.record(for: .staticHash)?.name == PodRecord.mirror.name)
        }
        // The other is left once the kubelet's is gone; the kubelet deletes it within seconds.
        self.directory.apply(.deleted(.mirror))
        #expect(self.directory.record(for: .staticHash) == forged)
        self.directory.apply(.deleted(.victim))
        #expect(self.directory.record(for: .staticHash) == nil)
    }

    @Test func `a mirror pod of a custom UID is known but cannot be found by a path`() {
        var custom = PodRecord.mirror
        custom.staticPodConfigHash = "my-static-uid"
        self.directory.apply(.updated(custom))
        #expect(self.directory.count == 1)
        #expect(self.directory.record(for: .mirror) == nil)
        #expect(self.directory.snapshot() == [custom])
    }

    @Test func `departures are told once, also of pods that vanish in a list`() {
        self.directory.apply(.replaced([.web, .victim, .mirror]))
        self.directory.apply(.deleted(.web))
        self.directory.apply(.deleted(.web))
        self.directory.apply(.deleted(PodUID.numbered(7)))
        #expect(self.departures.all == [.web])
        self.directory.apply(.replaced([.mirror]))
        self.directory.apply(.replaced([.mirror]))
        self.directory.apply(.deleted(.victim))
        #expect(self.departures.all == [.web, .victim])
    }

    @Test func `a departure is told when the directory has forgotten the pod, and outside its lock`() {
        let found = Mutex<[PodRecord?]>([])
        let holder = Mutex<PodDirectory?>(nil)
        let directory = PodDirectory { uid in
            let directory = holder.withLock { $0 }
            found.withLock { $0.append(directory?.record(for: uid)) }
        }
        holder.withLock { $0 = directory }
        directory.apply(.updated(.web))
        directory.apply(.deleted(.web))
        #expect(found.withLock { $0 } == [nil])
        holder.withLock { $0 = nil }
    }

    @Test func `a pod that a list missed may come back, one that was deleted is remembered for long enough`() {
        self.directory.apply(.replaced([.web]))
        self.directory.apply(.replaced([]))
        #expect(self.directory.standing(of: .web) == .unknown)
        for number in 0..<1025 {
            self.directory.apply(
                .updated(PodRecord(uid: PodUID.numbered(number), namespace: "n", name: "p", serviceAccountName: "s")))
            self.directory.apply(.deleted(PodUID.numbered(number)))
        }
        #expect(self.directory.standing(of: PodUID.numbered(0)) == .unknown)
        #expect(self.directory.standing(of: PodUID.numbered(1)) == .terminated)
        #expect(self.directory.standing(of: PodUID.numbered(1024)) == .terminated)
    }

    @Test func `the snapshot is ordered by namespace and name`() {
        self.directory.apply(.replaced([.web, .mirror, .victim]))
        #expect(self.directory.snapshot() == [.victim, .mirror, .web])
    }
}

@Suite(.timeLimit(.minutes(10))) struct PodDirectoryWaitTests {
    let clock = ManualClock()

    /// Waits until `count` waits have both enlisted and begun to sleep.
    private func expectWaits(_ count: Int, in directory: PodDirectory) async {
        var misses = directory.lookupMisses.makeAsyncIterator()
        var sleeps = self.clock.sleeps.makeAsyncIterator()
        for _ in 0..<count { await sleeps.next() }
        await misses.next()
    }

    @Test func `a known pod is returned at once and misses nothing`() async {
        let directory = PodDirectory(clock: self.clock)
        directory.apply(.updated(.web))
        #expect(await directory.waitForRecord(of: .web, atMost: .seconds(2)) == .web)
        #expect(await directory.waitForRecord(of: .victim, atMost: .zero) == nil)
        #expect(self.clock.sleepers == 0)
    }

    @Test(arguments: [PodEvent.updated(.web), .replaced([.victim, .web])])
    func `a wait ends with the record`(_ arrival: PodEvent) async {
        let directory = PodDirectory(clock: self.clock)
        async let record = directory.waitForRecord(of: .web, atMost: .seconds(2))
        await self.expectWaits(1, in: directory)
        directory.apply(arrival)
        #expect(await record == .web)
        #expect(self.clock.sleepers == 0)
    }

    @Test func `a wait for a static pod ends with its mirror`() async {
        let directory = PodDirectory(clock: self.clock)
        async let record = directory.waitForRecord(of: .staticHash, atMost: .seconds(2))
        await self.expectWaits(1, in: directory)
        directory.apply(.updated(.mirror))
        #expect(await record == .mirror)
    }

    @Test func `a list without the pod does not end the wait, the deadline does`() async {
        let directory = PodDirectory(clock: self.clock)
        async let record = directory.waitForRecord(of: .web, atMost: .seconds(2))
        await self.expectWaits(1, in: directory)
        directory.apply(.replaced([.victim]))
        directory.apply(.deleted(.web))
        self.clock.advance(by: .milliseconds(1999))
        #expect(self.clock.sleepers == 1)
        self.clock.advance(by: .milliseconds(1))
        #expect(await record == nil)
        // The late record finds no task to resume.
        directory.apply(.updated(.web))
        #expect(await directory.waitForRecord(of: .web, atMost: .seconds(2)) == .web)
    }

    @Test func `a cancelled wait ends and leaves no waiter behind`() async {
        let directory = PodDirectory(waiterLimit: 1, clock: self.clock)
        await withTaskGroup(of: PodRecord?.self) { group in
            group.addTask { await directory.waitForRecord(of: .web, atMost: .seconds(2)) }
            await self.expectWaits(1, in: directory)
            group.cancelAll()
            #expect(await group.next() == .some(nil))
        }
        #expect(self.clock.sleepers == 0)
        async let record = directory.waitForRecord(of: .web, atMost: .seconds(2))
        await self.expectWaits(1, in: directory)
        directory.apply(.updated(.web))
        #expect(await record == .web)
    }

    @Test func `a task that is cancelled already does not wait`() async {
        let directory = PodDirectory(clock: self.clock)
        await withTaskGroup(of: PodRecord?.self) { group in
            group.cancelAll()
            group.addTask { await directory.waitForRecord(of: .web, atMost: .seconds(2)) }
            #expect(await group.next() == .some(nil))
        }
    }

    @Test func `beyond the limit no pod is held`() async {
        let directory = PodDirectory(waiterLimit: 2, clock: self.clock)
        async let first = directory.waitForRecord(of: .web, atMost: .seconds(2))
        await self.expectWaits(1, in: directory)
        async let second = directory.waitForRecord(of: .victim, atMost: .seconds(2))
        await self.expectWaits(1, in: directory)
        #expect(await directory.waitForRecord(of: .web, atMost: .seconds(2)) == nil)
        directory.apply(.replaced([.web, .victim]))
        #expect(await first == .web)
        #expect(await second == .victim)
        // Both places are free again.
        async let third = directory.waitForRecord(of: .staticHash, atMost: .seconds(2))
        await self.expectWaits(1, in: directory)
        directory.apply(.updated(.mirror))
        #expect(await third == .mirror)
    }

    @Test func `many waits for one pod share a signal and end together`() async {
        let directory = PodDirectory(clock: self.clock)
        await withTaskGroup(of: PodRecord?.self) { group in
            for _ in 0..<100 {
                group.addTask { await directory.waitForRecord(of: .web, atMost: .seconds(2)) }
            }
            await self.expectWaits(100, in: directory)
            directory.apply(.updated(.web))
            var ended = 0
            for await record in group {
                #expect(record == .web)
                ended += 1
            }
            #expect(ended == 100)
        }
        #expect(self.clock.sleepers == 0)
    }
}
