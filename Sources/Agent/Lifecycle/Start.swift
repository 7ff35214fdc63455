import Attribution
import BPF
import Enforcement
import EventLoops
import KubernetesAPI
import Logging
import MetadataServer
import Operations
import Restart
import Settings
import SpiffeEndpoint
import Telemetry
import Tokens

/// The steps of a start.
extension Parts {
    /// How long the list of pods may take at the start: a first agent then serves without it, a successor gives up.
    static let listLimit = (first: Duration.seconds(5), successor: Duration.seconds(30))
    static let startUp = Duration.seconds(15)
    /// The time for which a replaced agent still accepts connections: a caller may be between its connect and its SYN.
    static let acceptTime = Duration.milliseconds(250)

    /// Serves: takes over from the agent that runs, or begins by itself.
    func start() async throws {
        let kept = supervisor?.groups ?? []
        var offered = OfferedSockets(kept.filter { $0.key == SupervisorLink.plain }.flatMap(\.descriptors))
        let lock = kernel.lock
        if try !lock.tryAcquire(), await !pods.listed.wait(atMost: Self.listLimit.successor) {
            throw AgentError(
                "an agent runs already, and goes on: this one cannot list the pods to take over from it: "
                    + (pods.watcher.status.lastError ?? "the API server does not answer"))
        }
        let predecessor = try await Succession.predecessor(
            lock, pins: kernel.pins.path, at: operators.endpoint.path)
        if let predecessor {
            // Until it has given way its rules count. It does not look again at a policy that it has set.
            pods.enforcement.yield()
            offered.closeRest()
            offered = OfferedSockets(predecessor.listeners)
        } else {
            // Before the wait for a port that another process holds: operators must see why.
            try await startAdmin()
            await operators.metricsPort.start(offered)
        }
        let (datapath, node) = try kernel.start.open()
        let tracking = try serve(
            datapath, node, adopting: kept.filter { $0.key != SupervisorLink.plain }, isSuccessor: predecessor != nil)
        if let predecessor {
            // The agent that runs serves pods. One without an opener listens nowhere, and must not replace it.
            guard !serving.openerLost.isReported else {
                throw AgentError("an agent runs already, and goes on: the opener of this one has ended, which says why")
            }
            await inherit(lock)
            try await Succession.replace(predecessor, lock)
            serving.namespaces.takeOver(datapath)
            // Until now the other agent wrote the policies, by its own rules, and followed the kubelet's cgroups.
            try datapath.reclaim()
            tracking.reclaim()
            try await predecessor.confirm()
            logger.info("took over from the agent that ran", metadata: ["predecessor": "\(predecessor.processID)"])
            try await startAdmin()
            await operators.metricsPort.start(offered)
        }
        offered.closeRest()
        if let unixPeers { try await upstreams.spiffe?.listen(serving.attributor, peers: unixPeers) }
        // Before a successor can come and go.
        operators.kernelSide.hold(try HeldPins(kernel.pins), tracking)
        try await offerHandover()
        selfCheck.set(
            SelfCheck(
                datapath: kernel.datapath, tracking: tracking,
                namespaces: serving.namespaces, node: node, arrivals: serving.arrivals, proof: serving.proof,
                admin: operators.admin, endpoint: operators.endpoint, kernelSide: operators.kernelSide,
                supervisor: supervisor, incidents: incidents, logger: logger))
    }

    /// Takes over what the agent that runs holds, for the pods that this one lists itself: otherwise each of them would be
    /// fetched again. Without it, or with anything that is not understood, this agent begins with nothing.
    private func inherit(_ lock: PinLock) async {
        let askedAt = ContinuousClock.now
        guard var bytes = await Predecessor.credentials(at: operators.endpoint.path, lock: lock) else {
            return logger.info("the agent that runs hands over no credentials; they are fetched when pods ask")
        }
        let held = HeldCredentials(parsing: bytes)
        SocketControl.wipe(&bytes)
        guard let held else {
            return logger.warning(
                "the agent that runs hands over credentials in an unknown form; they are fetched when pods ask")
        }
        let count = upstreams.tokens.adopt(held, askedAt: askedAt) { [directory = pods.directory] in
            directory.record(for: $0)
        }
        logger.info(
            "credentials taken over from the agent that ran",
            metadata: ["tokens": "\(count)", "offered": "\(held.tokenCount)"])
    }

    /// Pods need tokens more than operators need this socket: without space for it, the agent begins without it.
    private func startAdmin() async throws(AdminServerError) {
        do throws(AdminServerError) {
            try await operators.admin.start()
        } catch {
            guard error.isOutOfSpace else { throw error }
            incidents.increment(.adminSocketFailed)
            logger.error("no admin socket until there is space for it", metadata: ["reason": "\(error)"])
        }
    }

    /// The same for the socket that an upgrade needs.
    private func offerHandover() async throws {
        do {
            try await operators.endpoint.start(offering: [operators.metricsPort.descriptor].compactMap { $0 })
        } catch let error as AdminServerError where error.isOutOfSpace {
            incidents.increment(.adminSocketFailed)
            logger.error(
                "no hand-over to a successor until there is space for its socket", metadata: ["reason": "\(error)"])
        }
    }

    /// Follows the hierarchy, then listens in every pod's network namespace: last what a redirected connection meets first.
    private func serve(
        _ datapath: Datapath, _ node: NetworkNamespaceID, adopting kept: [SupervisorLink.Group], isSuccessor: Bool
    ) throws -> CgroupTracking {
        let uplinks = UplinkReport(logger: logger)
        // Programs that an earlier agent left guard the interfaces meanwhile: pods need not wait until others are loaded.
        let isGuarded = !kernel.pins.uplinks.isEmpty && datapath.hooks.allSatisfy { $0.origin == .adopted }
        if !isGuarded { uplinks.start(datapath) }
        let namespaces = serving.namespaces
        let tracking = try CgroupTracking(
            index: pods.index, root: kernel.root, kubepods: kernel.start.kubepods, cgroups: kernel.cgroups,
            pins: kernel.pins, datapath: datapath, enforcement: pods.enforcement, namespaces: namespaces,
            incidents: incidents, logger: logger)
        self.tracking.set(tracking)
        try namespaces.start(datapath, node: node, adopting: kept, isSuccessor: isSuccessor)
        logger.info(
            "serving metadata", metadata: ["namespaces": "\(namespaces.open.count)", "by": "\(namespaces.way)"])
        if isGuarded { uplinks.start(datapath) }
        return tracking
    }

    /// Says that the agent is ready once it knows the node's pods, or when it has waited for them long enough; then gives
    /// back what memory only the start needed.
    func sayReady() async {
        let isListed = await pods.listed.wait(atMost: Self.listLimit.first)
        guard !Task.isCancelled else { return }
        logger.info(
            "agent ready",
            metadata: [
                "pods": isListed ? "listed" : "not listed yet: requests are held",
                "version": "\(AgentVersion.current)", "node": "\(configuration.nodeName)",
                "kubepods": "\(kernel.root)", "cgroup-events": "\(tracking.current?.mechanism ?? "none")",
                "namespaces": "\(serving.namespaces.way)",
                "endpoints": "\(configuration.redirectEndpoints.map(\.text).joined(separator: ", "))",
            ])
        // The first tokens follow the start at once: their memory is released with it.
        guard (try? await Task.sleep(for: Self.startUp)) != nil else { return }
        StartUpPages.release()
        await releaseAfterBursts()
    }

    /// Gives back what the issuing of certificates needed, once none was issued for a while: keys, requests and chains are
    /// made in code and memory that serving does not use.
    private func releaseAfterBursts() async {
        guard let spiffe = upstreams.spiffe else { return await untilCancelled() }
        var plan = QuietPlan(spiffe.certificateCount)
        while (try? await Task.sleep(for: Self.startUp)) != nil {
            if plan.isQuiet(at: spiffe.certificateCount) { StartUpPages.release() }
        }
    }
}
