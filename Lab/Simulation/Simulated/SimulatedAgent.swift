import Attribution
import GoogleMetadata
import GoogleTokenExchange
import KubernetesAPI
import Logging
import MetadataProtocol
import MetadataServer
import NIOHTTP1
import Telemetry
import Tokens
import VirtualTime

/// One process of the agent: its real parts, composed as `Agent` does, around a simulated kernel and network.
final class SimulatedAgent: @unchecked Sendable {
    typealias ID = Int

    let id: ID
    let world: World
    let node: SimulatedNode
    let tokens: TokenService
    let index: CgroupIndex
    let directory: PodDirectory
    let watcher: PodWatcher
    let responder: MetadataResponder
    let audit: AuditLog
    let callers: RecentCallers
    let refusals: RefusalReporter
    let memory = AgentMemory()
    /// Whether its process has ended: what its tasks still do has no effect.
    private(set) var isDead = false
    private(set) var isListed = false
    private var tasks: [Task<Void, Never>] = []
    /// Requests that are being answered.
    private var open: [Int: Task<Void, Never>] = [:]
    private let events: PodEventRecorder
    private let upstreams: Mutated

    init(_ id: ID, on node: SimulatedNode, in world: World) throws {
        (self.id, self.node, self.world) = (id, node, world)
        world.memories.append(memory)
        let clock = SimulatedClock(
            timeline: world.timeline, node: node, ignoresSleep: world.options.mutation == .sleepNotCounted)
        let network = SimulatedNetwork(world: world, agent: id, node: node.number)
        let jitter: JitterSource = { world.random.unit() }
        let logger = Logger(label: "simulation") { _ in JudgedLog(world: world) }
        let options = try KubernetesClientOptions(
            audience: World.subjectAudience, podTokenAudiences: [World.podTokenAudience])
        let kubernetes = KubernetesClient(
            options: options, credentials: SimulatedCredentials(node.kubelet, world.timeline), network: network,
            clock: clock, logger: logger)
        let google = try GoogleTokenService(
            GoogleTokenService.Configuration(audience: World.provider, version: "simulation"), network: network)
        let callers = RecentCallers()
        let audit = AuditLog(node: "node-\(node.number)", callers: callers, clock: clock, logger: logger) { line in
            world.audited(line, by: id, node)
        }
        self.audit = audit
        let upstreams = Mutated(kubernetes: kubernetes, google: google, logger: logger, world: world, node: node)
        self.upstreams = upstreams
        let tokens = TokenService(
            configuration: upstreams.configuration, issuer: upstreams, accounts: upstreams, exchanger: upstreams,
            clock: clock, jitter: jitter,
            observer: { report in
                world.reported(report, by: id, node)
                audit.record(report)
                if world.options.mutation == .mintsAuditedTwice, report.failure == nil { audit.record(report) }
            },
            accountObserver: { report in
                world.reportedAccountFailure(by: id, node)
                audit.record(report)
            })
        self.tokens = tokens
        let directory = PodDirectory(clock: clock) { pod in
            if world.options.mutation != .tokensKept { tokens.forget(pod) }
            callers.forget(pod)
            world.forgot(pod, by: id, node)
        }
        self.directory = directory
        self.callers = callers
        index = CgroupIndex(root: SimulatedNode.root, resolver: node)
        let misses = world.options.mutation == .missesIgnored ? AsyncStream<Void> { _ in } : directory.lookupMisses
        watcher = PodWatcher(
            client: kubernetes, nodeName: "node-\(node.number)", misses: misses, policies: SimulatedNode.policies,
            clock: clock, random: jitter,
            logger: logger
        ) { event in
            world.learnt(event, by: id, node, directory)
        }
        events = PodEventRecorder(client: kubernetes, nodeName: "node-\(node.number)", clock: clock, logger: logger)
        refusals = RefusalReporter(index: index, directory: directory, audit: audit, events: events) { true }
        let backend = SimulatedBackend(
            attributor: Attributor(index: index, directory: directory), tokens: tokens, callers: callers, world: world,
            node: node, upstreams: upstreams)
        responder = MetadataResponder(
            backend: backend, rooms: [GoogleMetadataRoom(SimulatedNode.google, besides: []) { SimulatedNode.instance }])
    }

    /// Begins its services, as a process does.
    func start() {
        walk()
        let (tokens, watcher, events) = (tokens, watcher, events)
        tasks = [
            world.timeline.task { await tokens.run() }, world.timeline.task { await watcher.run() },
            world.timeline.task { await events.run() },
        ]
    }

    func listed() { isListed = true }

    /// How many Events it remembers.
    var rememberedEvents: Int { events.remembered }

    /// Ends the process, be it at once.
    func end(crashing: Bool) {
        guard !isDead else { return }
        let audit = audit
        if !crashing { tasks.append(world.timeline.task { await audit.close() }) }
        isDead = true
        for task in tasks.prefix(3) { task.cancel() }
        for request in open.keys.sorted() {
            world.reset(request, by: id)
            open[request]?.cancel()
        }
        open = [:]
    }

    // MARK: Cgroups

    func made(_ id: CgroupID, _ path: [UInt8]) {
        index.observe(id, path: path)
        world.judgeCgroups(of: self)
    }

    func removed(_ id: CgroupID) {
        guard world.options.mutation != .goneCgroupsKept else { return }
        index.remove(id)
    }

    func walk() {
        let walk = index.beginWalk()
        index.replace(with: node.cgroups(), since: walk)
    }

    // MARK: Requests

    /// Answers a request as the metadata server does: from caches, or after a wait that ends.
    func answer(_ number: Int, _ request: ClientRequest, _ tag: CallerTag, then: @escaping @Sendable (Response) -> Void)
    {
        guard !isDead else { return world.reset(number, by: id) }
        let parsed: MetadataRequest
        do throws(RequestRefusal) {
            parsed = try responder.validate(request.head)
        } catch {
            return finish(responder.response(to: error), .unrouted, tag, then)
        }
        switch responder.respond(to: parsed, from: tag) {
        case .answer(let response): finish(response, parsed.routeClass, tag, then)
        case .hold: break
        case .wait:
            let isUnbounded = world.options.mutation == .waitsUnbounded
            let limit = isUnbounded ? .seconds(600) : SimulatedNode.limits.waitBudget
            open[number] = world.timeline.task { [self] in
                let outcome = await responder.respondWaiting(
                    to: parsed, from: tag, within: limit, on: world.executor)
                guard !isDead, open.removeValue(forKey: number) != nil else { return }
                if case .answer(let response) = outcome { finish(response, parsed.routeClass, tag, then) }
            }
        }
    }

    private func finish(
        _ decided: Response, _ route: RouteClass, _ tag: CallerTag, _ then: @Sendable (Response) -> Void
    ) {
        let response = upstreams.mutated(decided)
        if let cause = response.cause, case .text(let text) = response.body {
            if cause.isAudited { memory.denials += 1 }
            refusals.report(
                RefusedRequest(tag: tag, route: route, status: response.status, cause: cause, text: text))
        }
        then(response)
    }
}

/// The agent's backend, as `Agent` has it.
struct SimulatedBackend: TokenServiceBackend {
    let attributor: Attributor
    let tokens: TokenService
    let callers: RecentCallers
    let world: World
    let node: SimulatedNode
    let upstreams: Mutated

    func identify(_ tag: CallerTag) -> Identification {
        world.mutated(attributor.identify(tag), on: node)
    }

    func identifyHolding(_ tag: CallerTag) async -> Identification {
        let identification = world.mutated(await attributor.identify(tag, holdingAtMost: .seconds(2)), on: node)
        callers.note(identification)
        return identification
    }

    func accessToken(
        for pod: PodRecord, account: ServiceAccountRecord, scopes: ScopeSet
    ) async throws(TokenFailure) -> ServedToken {
        try upstreams.charge()
        return try await tokens.accessToken(for: pod, account: account, scopes: scopes)
    }

    func identityToken(
        for pod: PodRecord, account: ServiceAccountRecord, audience: String
    ) async throws(TokenFailure) -> ServedToken {
        try upstreams.charge()
        return try await tokens.identityToken(for: pod, account: account, audience: audience)
    }
}
