package import Attribution
package import BPF
package import Tokens

/// The network namespaces of pods that have listeners, and the rules for those that come: how many one pod may have,
/// when a failed one is tried again, and which one makes room.
///
/// A value: it opens and closes nothing itself.
package struct NamespaceRegistry: Sendable {
    package struct Limits: Sendable, Hashable {
        /// Namespaces of one pod. An ordinary pod has one; those with a container runtime of their own have more.
        package var perPod = 8
        /// Namespaces of one pod whose connections are refused at once. Those of further ones are held, and end by
        /// themselves.
        package var refusedPerPod = 8
        /// Namespaces of all pods. A pod's first is opened beyond it: no pods with many keep another from its one.
        package var total = 2048
        /// How long a namespace must be without connections to make room for another of the same pod.
        package var idle = Duration.seconds(60)
        /// The pauses after failures in a namespace.
        package var failure = Backoff(shortest: .milliseconds(50), longest: .seconds(5))
        /// The pauses before a namespace that lacks a family is tried again.
        package var completion = Backoff(shortest: .seconds(1), longest: .seconds(64))
        /// How long a refused namespace stays so. The kernel reports nothing of it meanwhile.
        package var refusal = Duration.seconds(10)
        /// The time between two lines in the log about one pod.
        package var silence = Duration.seconds(60)

        package init() {}
    }

    package typealias Instant = ContinuousClock.Instant

    /// A namespace with listeners.
    package struct Entry: Sendable, Equatable {
        package var id: NetworkNamespaceID
        /// The pod whose end is the listeners' end; `nil`: the node's own namespace, or one whose pod is not known yet.
        package var pod: CgroupID?
        package var port: UInt16
        package var families: LoopbackFamilies
        package var openedAt: Instant
        /// The process that was seen in it first, which mostly is the pod's own (pause); 0: none is known.
        package var process: UInt32
        fileprivate var completions = 0
        fileprivate var completeAt: Instant

        /// Whether the entry lacks a family, and is to be tried again.
        fileprivate func isIncomplete(at now: Instant) -> Bool { families != .both && completeAt <= now }
    }

    /// A decision about one namespace.
    package enum Decision: Sendable, Equatable {
        case none
        /// Open it. First close the listeners of `replacing`, which make room.
        case open(replacing: UInt64?)
        /// Refuse its connections.
        case refuse
    }

    private struct Failure {
        var count = 0
        var retryAt: Instant
        /// The time from which another namespace may take its place.
        var forgetAt: Instant
    }

    /// One pod's namespaces, bounded by the limits.
    private struct Pod {
        /// The open namespaces in the order of their opening: the first is the pod's own, and stays.
        var open: [UInt64] = []
        /// The refused namespaces in the order of their refusal.
        var refused: [(cookie: UInt64, until: Instant)] = []
        var failures: [UInt64: Failure] = [:]
        /// The time from which the next line about this pod may be logged.
        var lineAt: Instant?
    }

    package let limits: Limits
    private var entries: [UInt64: Entry] = [:]
    private var pods: [CgroupID: Pod] = [:]
    private(set) var node: UInt64?

    package init(limits: Limits = Limits()) {
        self.limits = limits
    }

    /// The namespaces with listeners, the node's own included, by cookie.
    package var open: [UInt64: Entry] { entries }

    package subscript(cookie: UInt64) -> Entry? { entries[cookie] }

    /// Whether a namespace has listeners, or is refused.
    func knows(_ cookie: UInt64) -> Bool {
        entries[cookie] != nil || pods.values.contains { $0.refused.contains { $0.cookie == cookie } }
    }

    /// Decides about a namespace in which a process of `pod` was seen.
    ///
    /// - Parameters:
    ///   - id: The namespace.
    ///   - pod: The pod-level cgroup of the process.
    ///   - process: The process; 0: none that the opener can see.
    ///   - connects: Whether the process waits for an answer there. One that does not may set up another pod's network: for
    ///     it no namespace makes room, and none is refused.
    ///   - now: When it was seen.
    ///   - lastUse: When a process last connected in a namespace, by its cookie.
    /// - Returns: What is to be done.
    package mutating func seen(
        _ id: NetworkNamespaceID, pod: CgroupID, process: UInt32 = 0, connects: Bool = true, at now: Instant,
        lastUse: (UInt64) -> Instant? = { _ in nil }
    ) -> Decision {
        guard id.cookie != node else { return .none }
        if let entry = entries[id.cookie] {
            if entry.pod == nil {
                entries[id.cookie]?.id = id
                entries[id.cookie]?.pod = pod
                entries[id.cookie]?.process = process
                pods[pod, default: Pod()].open.append(id.cookie)
            }
            return .none
        }
        var record = pods[pod] ?? Pod()
        defer { pods[pod] = record }
        guard mayTry(id.cookie, &record, at: now) else { return .none }
        if record.open.isEmpty || record.open.count < limits.perPod && entries.count < limits.total {
            return .open(replacing: nil)
        }
        guard connects else { return .none }
        if let idle = idlest(of: record, at: now, lastUse: lastUse) {
            record.open.removeAll { $0 == idle }
            entries[idle] = nil
            return .open(replacing: idle)
        }
        return refuse(id.cookie, &record, at: now) ? .refuse : .none
    }

    /// Whether a namespace may be opened, for all that failed before. Namespaces that failed hold their places for a
    /// while, so that a pod that makes many of them costs no more than one with few.
    private func mayTry(_ cookie: UInt64, _ record: inout Pod, at now: Instant) -> Bool {
        if let failure = record.failures[cookie] { return now >= failure.retryAt }
        guard record.failures.count >= limits.perPod else { return true }
        record.failures = record.failures.filter { now < $0.value.forgetAt }
        return record.failures.count < limits.perPod
    }

    /// Whether the namespace is refused from now on: not if it is already, and not if too many are.
    private func refuse(_ cookie: UInt64, _ record: inout Pod, at now: Instant) -> Bool {
        guard record.refused.count < limits.refusedPerPod, !record.refused.contains(where: { $0.cookie == cookie })
        else { return false }
        record.refused.append((cookie, now + limits.refusal))
        return true
    }

    /// The namespace of this pod without a connection for longest, if that is long enough; never the first.
    private func idlest(of record: Pod, at now: Instant, lastUse: (UInt64) -> Instant?) -> UInt64? {
        let uses = record.open.dropFirst().compactMap { cookie in
            entries[cookie].map { (cookie, last: max(lastUse(cookie) ?? $0.openedAt, $0.openedAt)) }
        }
        guard let idlest = uses.min(by: { $0.last < $1.last }), now - idlest.last >= limits.idle else { return nil }
        return idlest.0
    }

    /// Notes the node's own namespace, whose listeners no pod's end ends.
    package mutating func openedNode(
        _ id: NetworkNamespaceID, port: UInt16, families: LoopbackFamilies, process: UInt32 = 0, at now: Instant
    ) {
        node = id.cookie
        entries[id.cookie] = Entry(
            id: id, pod: nil, port: port, families: families, openedAt: now, process: process,
            completeAt: now + limits.completion.shortest)
    }

    /// Notes listeners that were opened for `pod`, or adopted: those of a pod that is not known yet.
    package mutating func opened(
        _ id: NetworkNamespaceID, pod: CgroupID?, port: UInt16, families: LoopbackFamilies, process: UInt32 = 0,
        at now: Instant
    ) {
        entries[id.cookie] = Entry(
            id: id, pod: pod, port: port, families: families, openedAt: now, process: process,
            completeAt: now + limits.completion.shortest)
        guard let pod else { return }
        pods[pod, default: Pod()].open.append(id.cookie)
        pods[pod]?.refused.removeAll { $0.cookie == id.cookie }
        pods[pod]?.failures[id.cookie] = nil
    }

    /// Whether ``takeIncomplete(at:)`` or ``takeExpiredRefusals(at:)`` would take anything.
    package func isDue(at now: Instant) -> Bool {
        entries.values.contains { $0.isIncomplete(at: now) }
            || pods.values.contains { $0.refused.contains { $0.until <= now } }
    }

    /// Takes the namespaces that lack a family and are to be tried again now.
    package mutating func takeIncomplete(at now: Instant) -> [Entry] {
        let due = entries.values.filter { $0.isIncomplete(at: now) }
        for entry in due { planCompletion(of: entry, at: now) }
        return due
    }

    /// Takes a namespace that lacks a family and was not tried again since its opening. It may have been opened before its
    /// loopback device was up, which it is when an application is executed there.
    package mutating func takeIncomplete(_ cookie: UInt64, at now: Instant) -> Entry? {
        guard let entry = entries[cookie], entry.families != .both, entry.completions == 0 else { return nil }
        planCompletion(of: entry, at: now)
        return entry
    }

    private mutating func planCompletion(of entry: Entry, at now: Instant) {
        entries[entry.id.cookie]?.completions += 1
        // The first pause was that of the opening.
        entries[entry.id.cookie]?.completeAt = now + limits.completion.pause(after: entry.completions + 2)
    }

    /// Takes the namespaces that were refused for long enough: the next report of one is decided again.
    package mutating func takeExpiredRefusals(at now: Instant) -> [UInt64] {
        var expired: [UInt64] = []
        for (pod, record) in pods where !record.refused.isEmpty {
            expired += record.refused.filter { $0.until <= now }.map(\.cookie)
            pods[pod]?.refused.removeAll { $0.until <= now }
        }
        return expired
    }

    /// Notes that the missing families listen now, too.
    package mutating func completed(_ cookie: UInt64, _ families: LoopbackFamilies) {
        entries[cookie]?.families.formUnion(families)
    }

    /// Notes that a namespace could not be opened. One that `isGone` will not come again, and holds no place.
    package mutating func failed(_ id: NetworkNamespaceID, pod: CgroupID, isGone: Bool = false, at now: Instant) {
        var record = pods[pod] ?? Pod()
        var failure = record.failures[id.cookie] ?? Failure(retryAt: now, forgetAt: now)
        failure.count += 1
        failure.retryAt = now + limits.failure.pause(after: failure.count)
        failure.forgetAt = isGone ? now : failure.retryAt + limits.refusal
        record.failures[id.cookie] = failure
        pods[pod] = record
    }

    /// Notes that a namespace's listeners have ended by themselves. A pod's namespace is refused for a while: the
    /// process that ended them could end the next ones as well.
    ///
    /// - Returns: The pod; `nil`: the namespace is the node's own, or none that is open.
    package mutating func listenersEnded(_ cookie: UInt64, at now: Instant) -> CgroupID? {
        guard let pod = entries.removeValue(forKey: cookie)?.pod, var record = pods[pod] else { return nil }
        record.open.removeAll { $0 == cookie }
        let end = now + limits.refusal
        record.failures[cookie] = Failure(count: 1, retryAt: end, forgetAt: end)
        // Beyond the limit of refusals as well: one that the kernel knows has to be known here, or it would not end. The
        // places of failures bound these, too.
        record.refused.append((cookie, end))
        pods[pod] = record
        return pod
    }

    /// Whether a line about a pod may be logged now, and is the last one for a while.
    package mutating func takesLine(about pod: CgroupID, at now: Instant) -> Bool {
        guard var record = pods[pod], record.lineAt.map({ $0 <= now }) ?? true else { return false }
        record.lineAt = now + limits.silence
        pods[pod] = record
        return true
    }

    /// Forgets everything of a pod that has ended.
    ///
    /// - Returns: The cookies of namespaces whose listeners, or refusals, end with it.
    package mutating func ended(_ pod: CgroupID) -> (open: [UInt64], refused: [UInt64]) {
        guard let record = pods.removeValue(forKey: pod) else { return ([], []) }
        for cookie in record.open { entries[cookie] = nil }
        return (record.open, record.refused.map(\.cookie))
    }

    /// Forgets adopted namespaces in which no pod was seen.
    ///
    /// - Returns: Their cookies.
    package mutating func dropUnowned() -> [UInt64] {
        let cookies = entries.values.filter { $0.pod == nil && $0.id.cookie != node }.map(\.id.cookie)
        for cookie in cookies { entries[cookie] = nil }
        return cookies
    }

    /// The namespaces that are open for a pod, by their cookies.
    package func namespaces(of pod: CgroupID) -> [UInt64] { pods[pod]?.open ?? [] }

    /// The pods that have anything here.
    package var knownPods: [CgroupID] { Array(pods.keys) }
}
