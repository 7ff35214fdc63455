import Attribution
import BPF
import Testing

@testable import Enforcement

/// The namespaces that get listeners: scripts of events and decisions, without a kernel.
@Suite struct NamespaceRegistryTests {
    private static let start = ContinuousClock.now
    private static let pod = CgroupID(rawValue: 1)
    private static let other = CgroupID(rawValue: 2)

    private static func id(_ number: UInt64) -> NetworkNamespaceID {
        NetworkNamespaceID(cookie: number, inode: UInt32(number))
    }

    /// A registry in which `count` namespaces of one pod are open.
    private static func registry(_ count: UInt64, limits: NamespaceRegistry.Limits = .init()) -> NamespaceRegistry {
        var registry = NamespaceRegistry(limits: limits)
        for number in 1...max(count, 1) where number <= count {
            #expect(registry.seen(id(number), pod: pod, at: start) == .open(replacing: nil))
            registry.opened(id(number), pod: pod, port: 988, families: .both, at: start)
        }
        return registry
    }

    @Test func `a namespace is opened once, whichever pod is seen in it`() {
        var registry = Self.registry(1)
        #expect(registry.seen(Self.id(1), pod: Self.pod, at: Self.start) == .none)
        #expect(registry.seen(Self.id(1), pod: Self.other, at: Self.start) == .none)
        // The namespace's end is that of the pod that was seen first.
        #expect(registry.ended(Self.other) == (open: [], refused: []))
        #expect(registry.ended(Self.pod) == (open: [1], refused: []))
        #expect(registry.open.isEmpty && registry.knownPods.isEmpty)
        #expect(registry.seen(Self.id(1), pod: Self.other, at: Self.start) == .open(replacing: nil))
    }

    @Test func `the ninth namespace of one pod is refused, and no other pod is concerned`() {
        var registry = Self.registry(8)
        #expect(registry.seen(Self.id(9), pod: Self.pod, at: Self.start) == .refuse)
        #expect(registry.seen(Self.id(9), pod: Self.pod, at: Self.start) == .none)
        #expect(registry.seen(Self.id(10), pod: Self.other, at: Self.start) == .open(replacing: nil))
        for number in UInt64(11)...17 {
            #expect(registry.seen(Self.id(number), pod: Self.pod, at: Self.start) == .refuse)
        }
        // Nine refusals are one too many: connections of the rest are held, and cost the agent nothing more.
        for number in UInt64(18)...100 {
            #expect(registry.seen(Self.id(number), pod: Self.pod, at: Self.start) == .none)
        }
        #expect(registry.ended(Self.pod) == (open: Array(1...8), refused: [9] + Array(11...17)))
    }

    @Test func `a namespace is known while it is open or refused`() {
        let numbers = UInt64(1)...20
        var registry = Self.registry(8)
        #expect(registry.seen(Self.id(9), pod: Self.pod, at: Self.start) == .refuse)
        registry.openedNode(Self.id(20), port: 988, families: .both, at: Self.start)
        #expect(numbers.filter(registry.knows) == Array(1...9) + [20])
        #expect(registry.takeExpiredRefusals(at: Self.start + .seconds(10)) == [9])
        _ = registry.ended(Self.pod)
        #expect(numbers.filter(registry.knows) == [20])
    }

    @Test func `the namespace that was idle for longest makes room, but never the pod's first`() {
        var registry = Self.registry(8)
        let later = Self.start + .seconds(90)
        var uses: [UInt64: ContinuousClock.Instant] = [:]
        for number in UInt64(2)...8 { uses[number] = later - .seconds(Int64(number)) }
        #expect(registry.seen(Self.id(9), pod: Self.pod, at: later) { uses[$0] } == .refuse)
        uses[5] = nil
        #expect(registry.seen(Self.id(9), pod: Self.pod, at: later) { uses[$0] } == .open(replacing: 5))
        registry.opened(Self.id(9), pod: Self.pod, port: 987, families: .both, at: later)
        #expect(registry[5] == nil && registry[1] != nil && registry[9]?.port == 987)
        // The namespace is no longer refused, and counts as open.
        #expect(registry.ended(Self.pod) == (open: [1, 2, 3, 4, 6, 7, 8, 9], refused: []))
    }

    @Test func `everybody's limit refuses, and an end makes room`() {
        var limits = NamespaceRegistry.Limits()
        limits.total = 2
        var registry = Self.registry(2, limits: limits)
        #expect(registry.seen(Self.id(3), pod: Self.pod, at: Self.start) == .refuse)
        // Another pod has its first all the same, and no second one.
        #expect(registry.seen(Self.id(4), pod: Self.other, at: Self.start) == .open(replacing: nil))
        registry.opened(Self.id(4), pod: Self.other, port: 988, families: .both, at: Self.start)
        #expect(registry.seen(Self.id(5), pod: Self.other, at: Self.start) == .refuse)
        #expect(registry.ended(Self.pod).open == [1, 2])
        #expect(registry.takeExpiredRefusals(at: Self.start + .seconds(10)) == [5])
        #expect(
            registry.seen(Self.id(5), pod: Self.other, at: Self.start + .seconds(10)) == .open(replacing: nil))
    }

    @Test
    func `a pod at its limit whose process is in one more namespace, and does not connect there, changes nothing`() {
        var registry = Self.registry(8)
        let later = Self.start + .seconds(90)
        #expect(registry.seen(Self.id(9), pod: Self.pod, connects: false, at: Self.start) == .none)
        // Idle ones make room for nothing.
        #expect(registry.seen(Self.id(9), pod: Self.pod, connects: false, at: later) == .none)
        // The namespace is another pod's, which is served there.
        #expect(registry.seen(Self.id(9), pod: Self.other, connects: false, at: later) == .open(replacing: nil))
        #expect(registry.ended(Self.pod) == (open: Array(1...8), refused: []))
    }

    @Test func `a failure is tried again after a pause that doubles up to five seconds`() {
        var registry = NamespaceRegistry()
        var now = Self.start
        for milliseconds in [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            #expect(registry.seen(Self.id(1), pod: Self.pod, at: now) == .open(replacing: nil))
            registry.failed(Self.id(1), pod: Self.pod, at: now)
            #expect(registry.seen(Self.id(1), pod: Self.pod, at: now + .milliseconds(milliseconds - 1)) == .none)
            now += .milliseconds(milliseconds)
        }
        registry.opened(Self.id(1), pod: Self.pod, port: 988, families: .both, at: now)
        _ = registry.ended(Self.pod)
        #expect(registry.seen(Self.id(1), pod: Self.pod, at: now) == .open(replacing: nil))
    }

    @Test func `namespaces that fail hold their places: a pod of many costs no more than one of few`() {
        var registry = NamespaceRegistry()
        var opened = 0
        for number in UInt64(1)...100 where registry.seen(Self.id(number), pod: Self.pod, at: Self.start) != .none {
            opened += 1
            registry.failed(Self.id(number), pod: Self.pod, at: Self.start)
        }
        #expect(opened == 8)
        // Another pod has places of its own.
        #expect(registry.seen(Self.id(200), pod: Self.other, at: Self.start) == .open(replacing: nil))
        // One of the eight is tried again after its pause; another gets a place once the eight are forgotten.
        let later = Self.start + .milliseconds(50)
        #expect(registry.seen(Self.id(100), pod: Self.pod, at: later + .milliseconds(9_999)) == .none)
        #expect(registry.seen(Self.id(1), pod: Self.pod, at: later) == .open(replacing: nil))
        #expect(registry.seen(Self.id(100), pod: Self.pod, at: later + .seconds(10)) == .open(replacing: nil))
    }

    @Test func `a namespace that is gone holds no place`() {
        var registry = NamespaceRegistry()
        for number in UInt64(1)...100 {
            #expect(registry.seen(Self.id(number), pod: Self.pod, at: Self.start) == .open(replacing: nil))
            registry.failed(Self.id(number), pod: Self.pod, isGone: true, at: Self.start)
        }
    }

    @Test func `a namespace whose listeners ended by themselves is refused for a while, and then opened again`() {
        var registry = Self.registry(2)
        let pod = registry.listenersEnded(1, at: Self.start)
        #expect(pod == Self.pod)
        #expect(registry[1] == nil && registry.namespaces(of: Self.pod) == [2])
        #expect(registry.seen(Self.id(1), pod: Self.pod, at: Self.start + .milliseconds(9_999)) == .none)
        #expect(registry.takeExpiredRefusals(at: Self.start + .seconds(10)) == [1])
        #expect(registry.seen(Self.id(1), pod: Self.pod, at: Self.start + .seconds(10)) == .open(replacing: nil))
        // The node's own is no pod's, and is opened again at once.
        registry.openedNode(Self.id(9), port: 988, families: .both, at: Self.start)
        let nobody = registry.listenersEnded(9, at: Self.start)
        #expect(nobody == nil && registry[9] == nil)
    }

    @Test func `listeners that end beyond the limit of refusals are refused too, and let go in time`() {
        var registry = Self.registry(8)
        for number in UInt64(11)...18 {
            #expect(registry.seen(Self.id(number), pod: Self.pod, at: Self.start) == .refuse)
        }
        let pod = registry.listenersEnded(1, at: Self.start)
        #expect(pod == Self.pod)
        #expect(Set(registry.takeExpiredRefusals(at: Self.start + .seconds(10))) == Set(Array(11...18) + [1]))
    }

    @Test func `one pod has a line in the log each minute`() {
        var registry = Self.registry(1)
        let lines = [0, 59, 60, 61].map { registry.takesLine(about: Self.pod, at: Self.start + .seconds($0)) }
        #expect(lines == [true, false, true, false])
        let unknown = registry.takesLine(about: Self.other, at: Self.start)
        #expect(!unknown)
    }

    @Test func `a missing family is asked for again, after a pause that doubles up to 64 seconds`() {
        var registry = NamespaceRegistry()
        registry.opened(Self.id(1), pod: Self.pod, port: 987, families: .ipv4, at: Self.start)
        registry.opened(Self.id(2), pod: Self.pod, port: 988, families: .both, at: Self.start)
        var now = Self.start
        for seconds in [1, 2, 4, 8, 16, 32, 64, 64] {
            #expect(!registry.isDue(at: now + .milliseconds(seconds * 1000 - 1)))
            #expect(registry.takeIncomplete(at: now + .milliseconds(seconds * 1000 - 1)).isEmpty)
            now += .seconds(seconds)
            #expect(registry.isDue(at: now))
            #expect(registry.takeIncomplete(at: now).map(\.port) == [987])
        }
        registry.completed(1, .ipv6)
        #expect(registry.takeIncomplete(at: now + .seconds(100)).isEmpty)
        #expect(registry[1]?.families == .both)
    }

    @Test func `the first execution in a namespace that lacks a family has it tried again, and no later one`() {
        var registry = NamespaceRegistry()
        registry.opened(Self.id(1), pod: Self.pod, port: 987, families: .ipv4, at: Self.start)
        registry.opened(Self.id(2), pod: Self.pod, port: 988, families: .both, at: Self.start)
        #expect(registry.takeIncomplete(1, at: Self.start)?.port == 987)
        #expect(registry.takeIncomplete(1, at: Self.start) == nil)
        #expect(registry.takeIncomplete(2, at: Self.start) == nil)
        #expect(registry.takeIncomplete(3, at: Self.start) == nil)
        #expect(registry.takeIncomplete(at: Self.start + .milliseconds(1_999)).isEmpty)
        #expect(registry.takeIncomplete(at: Self.start + .seconds(2)).map(\.port) == [987])
    }

    @Test func `a refusal ends after ten seconds, and the namespace is decided about again`() {
        var registry = Self.registry(8)
        #expect(registry.seen(Self.id(9), pod: Self.pod, at: Self.start) == .refuse)
        #expect(!registry.isDue(at: Self.start + .milliseconds(9_999)))
        #expect(registry.takeExpiredRefusals(at: Self.start + .milliseconds(9_999)).isEmpty)
        #expect(registry.isDue(at: Self.start + .seconds(10)))
        #expect(registry.takeExpiredRefusals(at: Self.start + .seconds(10)) == [9])
        #expect(!registry.isDue(at: Self.start + .seconds(10)))
        #expect(registry.seen(Self.id(9), pod: Self.pod, at: Self.start + .seconds(10)) == .refuse)
    }

    @Test func `the node's own namespace is no pod's, and no pod's end ends it`() {
        var registry = NamespaceRegistry()
        registry.openedNode(Self.id(1), port: 988, families: .both, at: Self.start)
        #expect(registry.seen(Self.id(1), pod: Self.pod, at: Self.start) == .none)
        #expect(registry.ended(Self.pod) == (open: [], refused: []))
        #expect(registry.dropUnowned() == [])
        #expect(registry[1]?.port == 988)
    }

    @Test func `an adopted namespace belongs to the first pod that is seen in it, and ends if none is`() {
        var registry = NamespaceRegistry()
        for number in UInt64(1)...2 {
            registry.opened(Self.id(number), pod: nil, port: 988, families: .both, at: Self.start)
        }
        #expect(registry.seen(Self.id(1), pod: Self.pod, at: Self.start) == .none)
        #expect(registry.dropUnowned() == [2])
        #expect(registry.ended(Self.pod).open == [1])
    }
}
