package import BPF
package import EventLoops
import FoundationEssentials
package import Logging
import NIOPosix
package import Operations
package import Restart
package import Telemetry

/// Looks every two seconds at what no event reports, repairs what it can, and logs it.
///
/// A look is some fifty system calls on one thread, a ten-thousandth of a core. What takes more is looked at more seldom, or
/// only after something has happened that may have changed it.
package struct SelfCheck: Sendable {
    static let interval = Duration.seconds(2)
    /// Every how many looks one is taken at programs of others.
    private static let looksPerHookCheck = 3
    /// Every how many looks the node is searched for kubepods cgroups of others: once a minute.
    private static let looksPerSearch = 30
    /// Every how many looks pods are looked for whose end was lost: where the kernel reports ends, and where it does not.
    private static let looksPerPodCheck = (reported: 15, unreported: 5)
    /// Every how many looks each pod's connections are compared, if there were any: two system calls a pod.
    private static let looksPerArrivalCheck = 2

    let datapath: AttachedDatapath
    let tracking: CgroupTracking
    let namespaces: NamespaceKeeper
    let node: NetworkNamespaceID
    let arrivals: ArrivalMonitor
    let proof: ConnectionProof
    let admin: AdminServer
    let endpoint: HandoverEndpoint
    let kernelSide: KernelSide
    let supervisor: SupervisorLink?
    let incidents: CounterTable<Incident>
    let logger: Logger

    package init(
        datapath: AttachedDatapath, tracking: CgroupTracking, namespaces: NamespaceKeeper, node: NetworkNamespaceID,
        arrivals: ArrivalMonitor, proof: ConnectionProof, admin: AdminServer,
        endpoint: HandoverEndpoint, kernelSide: KernelSide, supervisor: SupervisorLink?,
        incidents: CounterTable<Incident>, logger: Logger
    ) {
        self.datapath = datapath
        self.tracking = tracking
        self.namespaces = namespaces
        self.node = node
        self.arrivals = arrivals
        self.proof = proof
        self.admin = admin
        self.endpoint = endpoint
        self.kernelSide = kernelSide
        self.supervisor = supervisor
        self.incidents = incidents
        self.logger = logger
    }

    /// Runs until its task is cancelled. The loop of `executor` has the timer alone: a look may wait for the kernel, which would
    /// keep the loop's connections waiting.
    package func run(on executor: EventLoopExecutor) async {
        var time = TimeCheck(interval: Self.interval, first: Self.now)
        var refusals = KernelRefusals(since: kernelCounters, at: .now)
        var traffic = TrafficNews()
        var state = HeldPins.State.inPlace
        var table = TableCheck()
        var others: Set<Datapath.OtherProgram> = []
        var supervision = SupervisorLink.State.current
        checkHooks(&others)
        var looks = 0
        // Cancellation ends the wait and the loop.
        while (try? await executor.sleep(for: Self.interval)) != nil {
            for finding in time.findings(at: Self.now) { report(finding) }
            let (counters, own) = (kernelCounters, proof.traffic)
            if let rises = refusals.report(counters, at: .now) { report(rises) }
            checkPins(&state)
            looks += 1
            await checkLock()
            if looks % Self.looksPerHookCheck == 0 {
                await checkPrograms()
                checkHooks(&others)
                checkTable(&table, pins: &state)
            }
            checkSupervisor(&supervision)
            // A finding ends also with its pod, which no counter tells.
            if looks % Self.looksPerArrivalCheck == 0,
                traffic.take(counters, own: own) || !arrivals.current.pods.isEmpty
            {
                checkArrivals()
            }
            tracking.checkRoot()
            await checkNamespaces(looks)
            if !kernelSide.isYielded {
                UplinkReport(logger: logger).refresh(datapath.current, always: looks % Self.looksPerSearch == 0)
            }
            await checkSockets()
        }
    }

    private static var now: TimeCheck.Reading {
        TimeCheck.Reading(wall: Date().timeIntervalSince1970, steady: .now)
    }

    private var kernelCounters: [String: UInt64] {
        guard let counters = try? datapath.current?.counters() else { return [:] }
        return Dictionary(counters.values.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
    }

    private func report(_ finding: TimeCheck.Finding) {
        switch finding {
        case .clockStepped(let seconds):
            incidents.increment(.clockStepped)
            logger.warning(
                "the node's clock was set; what is left of tokens is counted by a clock that cannot be",
                metadata: ["seconds": "\(seconds)"])
        case .stalled(let seconds):
            incidents.increment(.stalled)
            logger.warning(
                "the agent did not run for a while: stopped, frozen or starved", metadata: ["seconds": "\(seconds)"])
        }
    }

    private func report(_ rises: [String: UInt64]) {
        logger.warning(
            "the kernel programs refused connections; the next such line comes in a minute at the earliest",
            metadata: rises.mapValues { "\($0)" })
    }

    private func checkPins(_ state: inout HeldPins.State) {
        // Another agent's links are in the place of this one's, or will be.
        guard !kernelSide.isYielded, let pins = kernelSide.pins else { return }
        let before = state
        do throws(BPFError) {
            state = try pins.check()
        } catch {
            if before != .unmounted { incidents.increment(.pinsLost) }
            state = .unmounted
            return logger.error("the pins cannot be made again", metadata: ["reason": "\(error)"])
        }
        guard state != before else { return }
        switch state {
        case .inPlace: break
        case .removed:
            incidents.increment(.pinsLost)
            logger.warning("pins were removed: what they pinned stays in place only while this process runs")
        case .unmounted:
            incidents.increment(.pinsLost)
            logger.error(
                """
                the BPF file system of bpf.pin-directory is gone: the hooks stay in place only while this process \
                runs; mount it again
                """)
        case .restored:
            incidents.increment(.pinsRestored)
            logger.notice("hooks and maps are pinned again")
            UplinkReport(logger: logger).refresh(datapath.current, afterLoss: true)
        }
    }

    /// A successor that had the lock when it failed may have written until it ended. Without the lock the next agent would begin beside
    /// this one.
    private func checkLock() async {
        guard endpoint.lacksLock, !kernelSide.isYielded, endpoint.begin() else { return }
        defer { endpoint.end() }
        guard endpoint.regainLock() else { return }
        logger.notice("the successor that failed has given up the lock; everything is taken back once more")
        try? await NIOThreadPool.singleton.runIfActive { kernelSide.resume() }
    }

    /// A successor whose hand-over had to end, for it took too long, may have attached its programs since.
    private func checkPrograms() async {
        guard kernelSide.isTaken, endpoint.begin() else { return }
        defer { endpoint.end() }
        // No successor was about to take over, and none begins meanwhile.
        guard kernelSide.isTaken else { return }
        try? await NIOThreadPool.singleton.runIfActive { kernelSide.retry() }
    }

    /// The host guard by nftables has no pin that would hold it. A successor that takes over may do without it.
    private func checkTable(_ table: inout TableCheck, pins state: inout HeldPins.State) {
        guard let datapath = datapath.current, datapath.isTableMissing else { return table.seenInPlace() }
        guard !kernelSide.isYielded, endpoint.begin() else { return }
        defer { endpoint.end() }
        // The pins may have been removed since the last look, and the table after them.
        checkPins(&state)
        switch table.restore(state, by: { () throws(BPFError) in try datapath.restoreTable() }) {
        case nil: break
        case .restored:
            incidents.increment(.hostGuardRestored)
            logger.warning("another process removed the nftables table of the host guard; it is in place again")
        case .uninstalled:
            logger.warning("the nftables table of the host guard is gone with the pins, and is not put back")
        case .failed(let error):
            logger.error(
                "the nftables table of the host guard is gone and cannot be put back", metadata: ["reason": "\(error)"])
        }
    }

    private func checkSupervisor(_ state: inout SupervisorLink.State) {
        let before = state
        state = supervisor?.retry() ?? .current
        guard state != before else { return }
        if state != .current { incidents.increment(.supervisorBehind) }
        switch state {
        case .current: logger.notice("podidentd-init has copies of all listening sockets again")
        case .behind:
            logger.warning(
                "podidentd-init reads nothing: should this agent end now, it is not started again with all listening sockets"
            )
        case .incomplete:
            logger.warning("podidentd-init lacks copies of some listening sockets: there were no descriptors for them")
        case .gone:
            logger.error("podidentd-init has ended: nothing starts this agent again, nor keeps its listening sockets")
        }
    }

    /// Logs the programs of others at the same hooks. Nothing is wrong with them, but an operator who looks for the
    /// cause of a lost connection shall find them.
    private func checkHooks(_ others: inout Set<Datapath.OtherProgram>) {
        guard let found = datapath.current?.otherPrograms() else { return }
        let new = found.subtracting(others)
        others = found
        guard !new.isEmpty else { return }
        incidents.increment(.otherPrograms)
        let programs = Dictionary(grouping: new, by: \.hook).mapValues { $0.map(\.id).sorted() }
        logger.notice(
            "programs of others are attached to the same hooks, and see or change the same connections",
            metadata: programs.mapValues { "\($0.map(String.init).joined(separator: ", "))" })
    }

    private func checkArrivals() {
        guard let traffic = datapath.current?.trafficByPod() else { return }
        let before = arrivals.current.pods
        arrivals.look(at: traffic)
        let new = arrivals.current.pods.subtracting(before)
        guard !new.isEmpty else { return }
        logger.warning(
            """
            connections of pods are redirected to the agent and do not arrive: a filter inside the pod that does not \
            accept the interface lo, or a mesh in it, drops or takes them
            """,
            metadata: [
                "pods": "\(arrivals.names(of: new).prefix(10).joined(separator: ", "))", "count": "\(new.count)",
            ])
    }

    /// Checks the namespaces: nearly always there is nothing to do, and no other thread is woken up for it.
    private func checkNamespaces(_ looks: Int) async {
        guard let datapath = datapath.current else { return }
        let podLooks = tracking.reportsEnds ? Self.looksPerPodCheck.reported : Self.looksPerPodCheck.unreported
        let isPodCheck = looks % podLooks == 0
        let isSearch = looks % Self.looksPerSearch == 0
        guard isPodCheck || isSearch || namespaces.needsCheck(node: node) else { return }
        // Both may wait: for the opener, and for the whole hierarchy of a large node.
        try? await NIOThreadPool.singleton.runIfActive {
            namespaces.check(datapath, node: node)
            if isPodCheck { namespaces.checkPods(datapath) }
            if isSearch { tracking.checkOtherRoots() }
        }
    }

    private func checkSockets() async {
        // The log has said that the sockets are missing, and nothing else has changed.
        if !admin.isListening {
            guard (try? await admin.start()) != nil else { return incidents.increment(.adminSocketFailed) }
            logger.notice("the admin socket is served")
        }
        if !endpoint.isListening, !endpoint.isTaken {
            guard (try? await endpoint.listen()) != nil else { return incidents.increment(.adminSocketFailed) }
            logger.notice("a successor can take over again")
        }
    }
}
