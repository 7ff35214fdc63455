import Attribution
import Synchronization

/// A cgroup hierarchy in memory: where cgroups are by their IDs, and how often a caller asked.
final class FakeCgroups: CgroupPathResolving {
    private struct Storage {
        var paths: [CgroupID: [UInt8]] = [:]
        var resolutions = 0
        var afterResolving: (@Sendable (CgroupID) -> Void)?
    }

    private let storage: Mutex<Storage>

    init(_ paths: [UInt64: String] = [:]) {
        self.storage = Mutex(Storage(paths: Dictionary(uniqueKeysWithValues: paths.map { (.init($0), $1.bytes) })))
    }

    var resolutions: Int { self.storage.withLock { $0.resolutions } }

    func make(_ id: UInt64, _ path: String) {
        self.storage.withLock { $0.paths[CgroupID(id)] = path.bytes }
    }

    func remove(_ id: UInt64) {
        self.storage.withLock { $0.paths[CgroupID(id)] = nil }
    }

    /// Runs `action` after each answer was taken and before it is given: whatever it does, the answer is older.
    func afterResolving(_ action: @escaping @Sendable (CgroupID) -> Void) {
        self.storage.withLock { $0.afterResolving = action }
    }

    func path(of id: CgroupID) -> [UInt8]? {
        let (path, action) = self.storage.withLock { storage in
            storage.resolutions += 1
            return (storage.paths[id], storage.afterResolving)
        }
        action?(id)
        return path
    }
}

/// A clock that stands still until told to advance.
final class ManualClock: Clock {
    struct Instant: InstantProtocol {
        var offset: Duration = .zero

        func advanced(by duration: Duration) -> Instant { Instant(offset: self.offset + duration) }
        func duration(to other: Instant) -> Duration { other.offset - self.offset }
        static func < (left: Instant, right: Instant) -> Bool { left.offset < right.offset }
    }

    private struct Storage {
        var now = Instant()
        var sleepers: [Int: (deadline: Instant, continuation: CheckedContinuation<Bool, Never>)] = [:]
        var nextSleeper = 0
    }

    /// One element for each sleep that has begun.
    let sleeps: AsyncStream<Void>
    private let sleepSignal: AsyncStream<Void>.Continuation
    private let storage = Mutex(Storage())

    init() {
        (self.sleeps, self.sleepSignal) = AsyncStream.makeStream()
    }

    var now: Instant { self.storage.withLock { $0.now } }
    var minimumResolution: Duration { .nanoseconds(1) }
    var sleepers: Int { self.storage.withLock { $0.sleepers.count } }

    func advance(by duration: Duration) {
        let due = self.storage.withLock { storage in
            storage.now = storage.now.advanced(by: duration)
            let due = storage.sleepers.filter { $0.value.deadline <= storage.now }
            for id in due.keys { storage.sleepers[id] = nil }
            return due.values.map(\.continuation)
        }
        for continuation in due { continuation.resume(returning: true) }
    }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        let id = self.storage.withLock { storage in
            storage.nextSleeper += 1
            return storage.nextSleeper
        }
        let slept = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let settled: Bool? = self.storage.withLock { storage in
                    if Task.isCancelled { return false }
                    if deadline <= storage.now { return true }
                    storage.sleepers[id] = (deadline, continuation)
                    return nil
                }
                if let settled { continuation.resume(returning: settled) }
                self.sleepSignal.yield()
            }
        } onCancel: {
            self.storage.withLock { $0.sleepers.removeValue(forKey: id) }?.continuation.resume(returning: false)
        }
        if !slept { throw CancellationError() }
    }
}

/// The same numbers in every run: a failure can be repeated.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var z = self.state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

extension String {
    var bytes: [UInt8] { Array(self.utf8) }
}

extension CgroupID {
    init(_ value: UInt64) { self.init(rawValue: value) }
}

extension CallerTag {
    /// A tag of a task whose ancestors below kubepods are these, root first.
    init(_ ancestors: UInt64...) {
        self.init(
            ancestors: InlineArray { $0 < ancestors.count ? ancestors[$0] : 0 },
            leaf: CgroupID(rawValue: ancestors.last ?? 0),
            networkNamespaceCookie: 1,
            socketCookie: 2,
            originalDestination: OriginalDestination(address: .ipv4(0xa9fe_a9fe), port: 80)
        )
    }
}

extension PodUID {
    static let web = valid("11111111-1111-4111-8111-111111111111")
    static let victim = valid("22222222-2222-4222-8222-222222222222")
    static let mirror = valid("33333333-3333-4333-8333-333333333333")
    static let staticHash = valid("0f1e2d3c4b5a69788796a5b4c3d2e1f0")

    static func valid(_ text: String) -> PodUID {
        guard let uid = PodUID(text) else { preconditionFailure("not a pod UID: \(text)") }
        return uid
    }

    /// Any number of different ones.
    static func numbered(_ number: Int) -> PodUID {
        let digits = String(number)
        return valid("44444444-4444-4444-8444-\(String(repeating: "0", count: 12 - digits.count))\(digits)")
    }
}

extension PodRecord {
    static let web = PodRecord(uid: .web, namespace: "shop", name: "web-0", serviceAccountName: "web")
    static let victim = PodRecord(uid: .victim, namespace: "bank", name: "vault-0", serviceAccountName: "vault")
    static let mirror = PodRecord(
        uid: .mirror, namespace: "kube-system", name: "etcd-node-1", serviceAccountName: "",
        staticPodConfigHash: "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
    )
}

extension KubepodsRoot {
    static let cgroupfs = KubepodsRoot.defaults[0]
    static let systemd = KubepodsRoot.defaults[1]
}

let container64a = String(repeating: "a", count: 64)
let container64b = String(repeating: "b", count: 64)
