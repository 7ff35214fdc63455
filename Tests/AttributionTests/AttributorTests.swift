import Attribution
import Testing

@Suite(.timeLimit(.minutes(10))) struct AttributorTests {
    let cgroups = FakeCgroups([
        10: "/kubepods/burstable", 11: CgroupIndexTests.web, 12: "\(CgroupIndexTests.web)/\(container64a)",
        13: "\(CgroupIndexTests.web)/\(container64a)/pod\(PodUID.victim)",
        14: "\(CgroupIndexTests.web)/\(container64a)/pod\(PodUID.victim)/\(container64b)",
        31: "/kubepods/burstable/pod\(PodUID.staticHash)",
        32: "/kubepods/burstable/pod\(PodUID.staticHash)/pod\(PodUID.victim)",
    ])
    let clock = ManualClock()
    let index: CgroupIndex
    let directory: PodDirectory
    let attributor: Attributor

    init() {
        self.index = CgroupIndex(root: .cgroupfs, resolver: self.cgroups)
        self.directory = PodDirectory(clock: self.clock)
        self.attributor = Attributor(index: self.index, directory: self.directory)
    }

    private let tag = CallerTag(10, 11, 12)

    @Test func `a caller is its pod, with the container as a label`() {
        self.directory.apply(.replaced([.web, .victim]))
        let caller = Caller(pod: .web, containerID: container64a, cgroupID: CgroupID(11))
        #expect(self.attributor.identify(self.tag) == .caller(caller))
    }

    @Test func `cgroups named after a victim inside the caller's pod change nothing`() {
        self.directory.apply(.replaced([.web, .victim, .mirror]))
        let caller = Caller(pod: .web, containerID: container64a, cgroupID: CgroupID(11))
        #expect(self.attributor.identify(CallerTag(10, 11, 12, 13, 14)) == .caller(caller))
        let refusal = IdentityRefusal.staticPod(namespace: "kube-system", name: "etcd-node-1")
        #expect(self.attributor.identify(CallerTag(10, 31, 32)) == .refused(refusal))
    }

    @Test func `a UID that the pod list does not show is pending, not refused`() {
        self.directory.apply(.replaced([.victim]))
        #expect(self.attributor.identify(self.tag) == .pending(.web))
    }

    @Test func `a tag without a pod is refused`() {
        self.directory.apply(.replaced([.web]))
        #expect(self.attributor.identify(CallerTag(10)) == .refused(.notInPod))
        #expect(self.attributor.identify(CallerTag()) == .refused(.notInPod))
    }

    @Test func `a connection that outlives its pod gets nothing`() {
        self.directory.apply(.replaced([.web]))
        #expect(self.attributor.identify(self.tag).isCaller)
        self.cgroups.remove(11)
        self.cgroups.remove(12)
        self.index.remove(CgroupID(12))
        self.index.remove(CgroupID(11))
        #expect(self.attributor.identify(self.tag) == .refused(.podGone))
    }

    @Test func `a pod that was deleted while its cgroup lives on gets nothing`() {
        self.directory.apply(.replaced([.web]))
        #expect(self.attributor.identify(self.tag).isCaller)
        self.directory.apply(.deleted(.web))
        #expect(self.attributor.identify(self.tag) == .refused(.podGone))
    }

    @Test func `a terminating pod is served until it is gone`() {
        var pod = PodRecord.web
        pod.isTerminating = true
        self.directory.apply(.updated(pod))
        #expect(self.attributor.identify(self.tag).isCaller)
    }

    @Test(arguments: [PodRecord.Phase.succeeded, .failed])
    func `a finished pod is refused from the moment it finished`(_ phase: PodRecord.Phase) {
        self.directory.apply(.updated(.web))
        #expect(self.attributor.identify(self.tag).isCaller)
        var pod = PodRecord.web
        pod.phase = phase
        self.directory.apply(.updated(pod))
        let refusal = IdentityRefusal.podFinished(namespace: "shop", name: "web-0", phase: phase)
        #expect(self.attributor.identify(self.tag) == .refused(refusal))
    }

    @Test func `a pod that is not to be attributed is refused, whatever its phase, and served again when it is`() {
        var pod = PodRecord.web
        pod.policy = .deny
        self.directory.apply(.updated(pod))
        #expect(self.attributor.identify(self.tag) == .refused(.denied(namespace: "shop", name: "web-0")))
        pod.phase = .succeeded
        self.directory.apply(.updated(pod))
        #expect(self.attributor.identify(self.tag) == .refused(.denied(namespace: "shop", name: "web-0")))
        pod.phase = .running
        pod.policy = .passthrough
        self.directory.apply(.updated(pod))
        #expect(self.attributor.identify(self.tag) == .refused(.passedThrough(namespace: "shop", name: "web-0")))
        self.directory.apply(.updated(.web))
        #expect(self.attributor.identify(self.tag).isCaller)
    }

    @Test func `a pod whose object is too large to be read gets nothing, and is not waited for`() async {
        var pod = PodRecord.web
        pod.isTooLarge = true
        self.directory.apply(.updated(pod))
        let refusal = IdentityRefusal.podTooLarge(namespace: "shop", name: "web-0")
        #expect(await self.attributor.identify(self.tag, holdingAtMost: .seconds(2)) == .refused(refusal))
        pod.policy = .passthrough
        self.directory.apply(.updated(pod))
        #expect(self.attributor.identify(self.tag) == .refused(refusal))
        pod.policy = .deny
        self.directory.apply(.updated(pod))
        #expect(self.attributor.identify(self.tag) == .refused(.denied(namespace: "shop", name: "web-0")))
    }

    @Test func `only a pending caller is held, and it is identified when its record comes`() async {
        self.directory.apply(.updated(.victim))
        async let answer = self.attributor.identify(self.tag, holdingAtMost: .seconds(2))
        await self.expectWait()
        self.directory.apply(.updated(.web))
        #expect(await answer.isCaller)
        #expect(await self.attributor.identify(self.tag, holdingAtMost: .seconds(2)).isCaller)
        #expect(await self.attributor.identify(CallerTag(10), holdingAtMost: .seconds(2)) == .refused(.notInPod))
    }

    @Test func `a caller whose record does not come is still pending`() async {
        async let answer = self.attributor.identify(self.tag, holdingAtMost: .seconds(2))
        await self.expectWait()
        self.clock.advance(by: .seconds(2))
        #expect(await answer == .pending(.web))
    }

    @Test func `a caller whose pod goes while it is held gets nothing`() async {
        async let answer = self.attributor.identify(self.tag, holdingAtMost: .seconds(2))
        await self.expectWait()
        self.cgroups.remove(11)
        self.cgroups.remove(12)
        self.index.remove(CgroupID(11))
        self.directory.apply(.updated(.web))
        #expect(await answer == .refused(.podGone))
    }

    private func expectWait() async {
        var misses = self.directory.lookupMisses.makeAsyncIterator()
        var sleeps = self.clock.sleeps.makeAsyncIterator()
        await misses.next()
        await sleeps.next()
    }
}

extension Identification {
    fileprivate var isCaller: Bool {
        if case .caller = self { true } else { false }
    }
}
