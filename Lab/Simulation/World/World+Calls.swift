import Attribution
import NIOCore
import NIOHTTP1
import Tokens
import UpstreamHTTP

/// The purpose of a call.
struct CallKey: Hashable {
    var text: String
    /// The fetch that makes it, where fetches of several tokens make calls that do not differ.
    var fetch: ContinuousClock.Instant?
}

/// One call that an agent made, for as long as it is under way.
struct CallEntry {
    enum Kind {
        /// A call on behalf of one token of a pod.
        case token
        /// The read of a ServiceAccount.
        case account
        /// A page of the list of pods, and the beginning of a watch of them.
        case list, watch

        /// No `Retry-After` is followed for longer.
        var longestRetryAfter: Duration {
            switch self {
            case .token: .seconds(60)
            case .account: .seconds(10)
            case .list, .watch: .seconds(30)
            }
        }
    }

    let agent: SimulatedAgent.ID
    let destination: Destination
    let url: String
    let startedAt: ContinuousClock.Instant
    /// Tells the agent's fetches apart: when the request arrived that has waited longest for it. `nil` for calls of the pod watch.
    let fetch: ContinuousClock.Instant?
    var kind = Kind.token
    /// `nil`: calls of this kind are not looked at one by one.
    var key: CallKey?
    /// The pod that the call is for, by its UID, and its number where that is known.
    var pod: PodUID?
    var podIndex: Int?
    /// How often the agent had forgotten that pod when the call began.
    var generation = 0

    mutating func concerns(_ text: String, of grant: Grant) {
        (key, pod, podIndex) = (CallKey(text: text), grant.pod, grant.index)
    }

    /// Whether it goes to one of the upstreams whose quota has a pace.
    var isPaced: Bool { destination != .apiServer }

    /// The quota that it takes from.
    var quota: String? {
        switch destination {
        case .securityTokenService: "sts"
        // The account, without the method.
        case .iamCredentials: String(url[..<(url.utf8.lastIndex(of: UInt8(ascii: ":")) ?? url.endIndex)])
        case .apiServer: nil
        }
    }
}

/// The failure of a call that was not made again with success since.
struct CallFailure {
    let at: ContinuousClock.Instant
    let fetch: ContinuousClock.Instant?
    /// `nil`: there was no answer.
    let status: Int?
    /// The earliest time at which it may be made again, be it for whatever purpose.
    let notBefore: ContinuousClock.Instant
    /// How old a ServiceAccount's record may have been for which it was made.
    let accountAge: Duration
    /// Failures in a row within a fetch, other than the next ones.
    var inFetch = 0
    /// Answers in a row that the API server does not know the node's pods yet, which the agent's client repeats by itself.
    var missing = 0
    /// Fetches in a row that failed at this call.
    var fetches = 1

    /// Whether the upstream said no.
    var isFinal: Bool { status == 403 || status == 404 || status == 409 }
}

/// The calls for one thing.
struct CallMemory {
    /// Calls in flight.
    var count = 0
    /// The fetch that made the latest one.
    var fetch: ContinuousClock.Instant?
    /// The failure of the latest one.
    var failure: CallFailure?
}

/// The world's notes about the calls of agents, and their checks.
extension World {
    /// The header field of an answer that is not what its status says.
    static let garbledMark = "x-simulated-garbled"

    func enter(_ call: UpstreamCall, of id: SimulatedAgent.ID, _ node: Int) -> CallEntry {
        judge.upstreamCalls += 1
        var entry = entry(call, id)
        let memory = memories[id]
        if entry.pod != nil, let fetch = entry.fetch, memory.orphans.contains(fetch) { entry.key = nil }
        guard let key = entry.key else { return entry }
        if entry.kind == .account { memory.accountReads[key.text] = now }
        entry.generation = memory.generation(of: entry.pod)
        let agent = nodes[node].running(id)
        if let agent { judgeHoldings(of: entry, agent) }
        judge.check(.singleFetch)
        var calls = memory.calls[entry.pod]?[key] ?? CallMemory()
        calls.count += 1
        calls.fetch = entry.fetch
        memory.calls[entry.pod, default: [:]][key] = calls
        if calls.count > 1 {
            violated(.singleFetch, "agent \(id) makes a call that is under way: \(key.text)")
        }
        judge.check(.retry)
        if let failure = calls.failure, let left = haste(of: entry, after: failure, agent) {
            violated(.retry, "agent \(id) repeats a call \(left) too early: \(key.text)")
        }
        return entry
    }

    private func entry(_ call: UpstreamCall, _ id: SimulatedAgent.ID) -> CallEntry {
        var entry = CallEntry(
            agent: id, destination: Destination(call.url), url: call.url, startedAt: now, fetch: ClientWait.began)
        switch entry.destination {
        case .securityTokenService:
            let fields = WireText.fields(Substring(Self.body(of: call)))
            guard let grant = fields["subject_token"].flatMap({ grants[$0] }) else { break }
            entry.concerns("sts \(grant.accountUID) \(fields["scope"] ?? "")", of: grant)
        case .iamCredentials:
            let bearer = call.headers.first(name: "authorization").map { String($0.dropFirst(7)) } ?? ""
            guard let grant = grants[bearer] else { break }
            entry.concerns("iam \(grant.accountUID) \(call.url) \(Self.body(of: call))", of: grant)
        case .apiServer:
            name(&entry, call)
        }
        return entry
    }

    private static func body(of call: UpstreamCall) -> String { call.body.map { String(buffer: $0) } ?? "" }

    /// Names a call to the API server. Events have no name.
    private func name(_ entry: inout CallEntry, _ call: UpstreamCall) {
        if WireText.holds(call.url, "/api/v1/pods?") {
            entry.kind = WireText.holds(call.url, "watch=true") ? .watch : .list
            entry.key = CallKey(text: entry.kind == .watch ? "watch of pods" : "list of pods")
        } else if WireText.holds(call.url, "/serviceaccounts/") {
            if call.method == .GET {
                entry.kind = .account
                entry.key = CallKey(text: call.url)
            } else {
                name(tokenRequest: &entry, call)
            }
        }
    }

    /// A TokenRequest for an exchange is the same whichever token is exchanged for: each fetch makes its own.
    private func name(tokenRequest entry: inout CallEntry, _ call: UpstreamCall) {
        guard let body = call.body, let request = WireJSON(Array(body.readableBytesView)),
            let audience = request["spec"]?["audiences"]?.texts?.first,
            let uid = request["spec"]?["boundObjectRef"]?["uid"]?.text
        else { return }
        let account = request["metadata"]?["uid"]?.text ?? ""
        entry.pod = PodUID(uid)
        entry.key = CallKey(
            text: "token \(account) \(audience)", fetch: audience == Self.podTokenAudience ? nil : entry.fetch)
    }

    /// The end of a call: its answer, or none.
    func leave(_ entry: CallEntry, _ answer: UpstreamResponse?, isCancelled: Bool = false) {
        if let quietSince, entry.startedAt < quietSince { lastTouched = now }
        let memory = memories[entry.agent]
        if entry.kind == .account, let key = entry.key { memory.accountReads[key.text] = now }
        if answer?.status == 429, let quota = entry.quota { memory.refusals[quota] = now }
        // The agent forgot the pod meanwhile: what it asks for next is another entry's.
        guard let key = entry.key, entry.generation == memory.generation(of: entry.pod),
            var calls = memory.calls[entry.pod]?[key]
        else { return }
        calls.count -= 1
        if !isCancelled { calls.failure = failure(of: entry, answer, after: calls.failure) }
        memory.calls[entry.pod]?[key] = calls.count <= 0 && calls.failure == nil ? nil : calls
        if calls.failure != nil { memory.dropOldFailures(of: entry.pod, before: now - .seconds(60)) }
    }

    /// The failure that a call's end is, if it is one.
    private func failure(
        of entry: CallEntry, _ answer: UpstreamResponse?, after former: CallFailure?
    ) -> CallFailure? {
        // The status is all that counts of a watch's first answer.
        let isGarbled = entry.kind != .watch && answer?.headers.contains(name: Self.garbledMark) == true
        if let answer, !isGarbled {
            // A new subject token, or new credentials of the node, may please at once.
            if answer.isSuccess || answer.status == 401 || answer.status == 400 { return nil }
        }
        let retryAfter = min(answer?.retryAfter() ?? .zero, entry.kind.longestRetryAfter)
        var failure = CallFailure(
            at: now, fetch: entry.fetch, status: answer?.status, notBefore: now + max(retryAfter, .milliseconds(50)),
            accountAge: oldestServed)
        let carried = former.flatMap { repeats(entry, $0) ? $0 : nil }
        var inFetch = carried?.inFetch ?? 0
        // A watch that lasted is a good one, whatever its end: the agent begins to count again.
        if entry.kind == .watch, now - entry.startedAt >= .seconds(5) { inFetch = 0 }
        if entry.destination == .apiServer, answer?.status == 403 {
            (failure.inFetch, failure.missing) = (inFetch, (carried?.missing ?? 0) + 1)
        } else {
            failure.inFetch = inFetch + 1
        }
        if let former { failure.fetches = former.fetches + (former.fetch == entry.fetch ? 0 : 1) }
        return failure
    }
}

extension SimulatedNode {
    /// The agent of this number, if it runs here still.
    func running(_ id: SimulatedAgent.ID) -> SimulatedAgent? {
        if let agent, agent.id == id { return agent }
        if let successor, successor.id == id { return successor }
        return nil
    }
}
