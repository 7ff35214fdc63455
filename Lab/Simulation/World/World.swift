import Attribution
import EventLoops
import MetadataServer
import Tokens
import VirtualTime

/// Everything around the simulated agents, and the judge of what they do.
///
/// One thread alone uses the world's members, the one that lets time pass; this is what makes it safe to share.
final class World: @unchecked Sendable {
    let timeline: Timeline
    /// The timeline for parts of the agent that set their timers on an event loop.
    let executor: EventLoopExecutor
    let options: SimulationOptions
    var trace: Trace
    var random: SeededGenerator
    /// Decides which hand-overs are damaged, and nothing else of the world.
    var handoverRandom: SeededGenerator
    var cluster = Cluster()
    var weather = Weather()
    var grants: [String: Grant] = [:]
    var judge = InvariantRecord()
    var nodes: [SimulatedNode] = []
    /// The memories by the agents' numbers.
    var memories: [AgentMemory] = []
    var watches: [SimulatedWatch] = []
    private(set) var injected: [Fault: Int] = [:]
    private var lastSerial = 0
    private var latestDate: (seconds: Int64, text: String) = (-1, "")
    private var lastCgroup: UInt64 = 4_096
    /// The time until which reads of ServiceAccounts may fail, or pause after failures.
    var accountsTroubledUntil: ContinuousClock.Instant
    /// The time at which the world came to rest: no fault is injected any more. `nil`: it has not.
    var quietSince: ContinuousClock.Instant?
    var isQuiet: Bool { quietSince != nil }
    /// The end of the last call that had begun before the world came to rest: a fault may have touched it until then.
    var lastTouched: ContinuousClock.Instant
    /// The time at which a pod is asked for once more that did not get its identity.
    var lastDemand: ContinuousClock.Instant

    init(_ options: SimulationOptions) {
        self.options = options
        timeline = Timeline()
        executor = EventLoopExecutor(TimelineEventLoop(timeline))
        (accountsTroubledUntil, lastTouched, lastDemand) = (timeline.now, timeline.now, timeline.now)
        trace = Trace(printing: options.prints)
        random = SeededGenerator(seed: options.seed)
        handoverRandom = SeededGenerator(seed: options.seed ^ World.handoverSalt)
    }

    /// The number with which the first 16 hand-overs of each seed that a test names pass whole, as when the seed broke
    /// something.
    private static let handoverSalt: UInt64 = 0x10cb

    var now: ContinuousClock.Instant { timeline.now }

    func note(_ text: String) {
        trace.note(timeline.elapsed, text)
    }

    func has(_ fault: Fault) -> Bool { weather.has(fault, at: now) }

    func violated(_ invariant: Invariant, _ text: String) {
        note("VIOLATION \(invariant.rawValue): \(text)")
        judge.violations.append(Violation(invariant: invariant, text: text, at: .nanoseconds(timeline.elapsed)))
    }

    func count(_ fault: Fault) { injected[fault, default: 0] += 1 }

    func serial() -> Int {
        lastSerial += 1
        return lastSerial
    }

    func cgroupID() -> CgroupID {
        lastCgroup += 1 + UInt64(random.below(3))
        return CgroupID(rawValue: lastCgroup)
    }

    /// The clock of Google's servers, and that of the API server, which a fault may set.
    var googleTime: Int64 { WallTime.beginning + timeline.elapsed / 1_000_000_000 }
    var apiTime: Int64 {
        if has(.apiClockAhead) { return googleTime + 600 }
        if has(.apiClockBehind) { return googleTime - 600 }
        return googleTime
    }

    var iamTime: Int64 {
        if has(.iamClockAhead) { return googleTime + 600 }
        if has(.iamClockBehind) { return googleTime - 600 }
        return googleTime
    }

    /// The `Date` of an answer. Those of one second are the same.
    func date(_ seconds: Int64) -> String {
        if latestDate.seconds != seconds { latestDate = (seconds, DateHeader.format(Int(seconds))) }
        return latestDate.text
    }

    /// A UID in the form of RFC 4122.
    func makeUID() -> String {
        func hexadecimal(_ digits: Int) -> String {
            let text = String(random.next() & ((1 << UInt64(4 * digits)) - 1), radix: 16)
            return String(repeating: "0", count: digits - text.utf8.count) + text
        }
        return [8, 4, 4, 4, 12].map { hexadecimal($0) }.joined(separator: "-")
    }

    /// Gives out a token. Subject and identity tokens are JWTs, the others opaque.
    func give(_ grant: Grant, claims: ((Int) -> String)? = nil) -> String {
        var grant = grant
        grant.serial = serial()
        let text =
            if let claims {
                "eyJhbGciOiJub25lIn0.\(Base64URL.encode(Array(claims(grant.serial).utf8))).c2ln"
            } else {
                "ya29.\(grant.kind.rawValue)-\(grant.serial)"
            }
        grants[text] = grant
        return text
    }

    /// Drops what has ended long ago, so that a long simulation needs no more memory than a short one.
    func dropOldGrants() {
        let limit = now - .seconds(7_200)
        grants = grants.filter { $0.value.end > limit }
    }
}
