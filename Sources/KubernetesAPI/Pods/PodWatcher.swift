package import Attribution
package import Logging
import Synchronization
package import Tokens

/// Follows the pods of this node: one list, then a watch without end.
///
/// Events reach the sink in the order in which they are true: a list never runs beside a watch, so that no old list
/// can bring back what a newer event removed.
package final class PodWatcher: Sendable {
    package struct Options: Sendable {
        /// The time between lists that misses ask for: at most 5/s, however many pods are missed.
        package var missInterval = Duration.milliseconds(200)
        /// The shortest pause between attempts. The next property is the longest.
        package var shortestPause = Duration.milliseconds(100)
        package var longestPause = Duration.seconds(5)
        /// The seconds after which the server shall end a watch: at random in between, so that the nodes of a cluster
        /// do not come back together.
        package var watchSeconds = 240...420

        package init() {}
    }

    private let client: KubernetesClient
    private let nodeName: String
    private let options: Options
    private let clock: any TokenClock
    private let random: JitterSource
    private let misses: AsyncStream<Void>
    private let sink: @Sendable (PodEvent) -> Void
    private let logger: Logger
    private let signal = MissSignal()
    private let storage = Mutex(PodWatchStatus())
    /// The rules that decide about each pod when it is read, so that its labels need not be kept.
    private let policies: Mutex<PolicyTable>
    /// The keys of labels that records keep for the audit.
    private let auditedLabels: Set<String>
    /// Pods that the log names as too large, as many as the node has.
    private let largePods = Mutex<Set<PodUID>>([])

    /// Follows the pods of `nodeName`, the only ones that the API server shows to the node's credentials.
    ///
    /// `misses` yields when a caller asks for a pod that the sink does not have. `sink` is called from one task
    /// at a time, in order. `random` gives numbers in `0..<1`.
    package init(
        client: KubernetesClient,
        nodeName: String,
        misses: AsyncStream<Void>,
        policies: PolicyTable = .attributeAll,
        auditedLabels: Set<String> = [],
        options: Options = Options(),
        clock: any TokenClock = SystemTokenClock(),
        random: @escaping JitterSource = { Double.random(in: 0..<1) },
        logger: Logger,
        sink: @escaping @Sendable (PodEvent) -> Void
    ) {
        self.client = client
        self.nodeName = nodeName
        self.options = options
        self.clock = clock
        self.random = random
        self.misses = misses
        self.policies = Mutex(policies)
        self.auditedLabels = auditedLabels
        self.sink = sink
        self.logger = logger
    }

    package var status: PodWatchStatus { storage.withLock { $0 } }

    /// Decides by other rules from now on. They may look at labels that were not read: the pods are listed again as soon
    /// as that is possible, and what is known of them counts until then.
    package func replacePolicies(_ policies: PolicyTable) {
        self.policies.withLock { $0 = policies }
        signal.raise()
    }

    /// Runs until its task is cancelled.
    package func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask {
                for await _ in self.misses { self.signal.raise() }
            }
            await follow()
            group.cancelAll()
        }
    }

    private func follow() async {
        var plan = PodWatchPlan(shortestPause: options.shortestPause, longestPause: options.longestPause)
        var lastList = clock.now
        var isMiss = false
        var nextMissLine = clock.now
        while !Task.isCancelled {
            var pause = Duration.zero
            switch plan.step {
            case .list:
                lastList = clock.now
                pause = await list(&plan, isMiss: isMiss)
                isMiss = false
            case .watch(let resourceVersion):
                if let report = await watch(from: resourceVersion, nextList: lastList + options.missInterval) {
                    pause = plan.watchEnded(report, random: random())
                    note(report, next: plan.step)
                } else {
                    isMiss = true
                    plan.missed()
                    if nextMissLine <= clock.now {
                        // A caller that asks for pods that do not exist must not fill the log.
                        nextMissLine = clock.now + .seconds(60)
                        logger.info("listing pods: a caller's pod is not in the pod watch yet")
                    }
                }
                storage.withLock { $0.isWatching = false }
            }
            // Cancellation is what the loop's condition looks at.
            if pause > .zero { try? await clock.sleep(until: clock.now + pause) }
        }
    }

    /// Returns the pause before the next step.
    private func list(_ plan: inout PodWatchPlan, isMiss: Bool) async -> Duration {
        // A look-up that missed a pod before this moment is served by this list.
        signal.clear()
        do throws(UpstreamFailure) {
            let policies = policies.withLock { $0 }
            let list = try await client.listPods(
                nodeName: nodeName, labels: policies.labelKeys.union(auditedLabels))
            let pods = list.pods.map { $0.record(by: policies, auditing: auditedLabels) }
            sink(.replaced(pods))
            storage.withLock { status in
                status.lastContact = clock.now
                status.isSynced = true
                status.resourceVersion = list.resourceVersion
                status.lists += 1
                status.missLists += isMiss ? 1 : 0
                status.skippedObjects += list.skipped
            }
            logger.debug("pods listed", metadata: ["pods": "\(pods.count)", "skipped": "\(list.skipped)"])
            let tooLarge = pods.filter(\.isTooLarge)
            largePods.withLock { $0.formIntersection(tooLarge.map(\.uid)) }
            for pod in tooLarge { note(tooLarge: pod) }
            plan.listed(at: list.resourceVersion)
            return .zero
        } catch {
            guard !Task.isCancelled else { return .zero }
            storage.withLock { status in
                status.lastError = error.message
                status.failedLists += 1
            }
            logger.warning("pods cannot be listed", metadata: ["error": "\(error.message)"])
            return plan.listFailed(retryAfter: error.retryAfter, random: random())
        }
    }

    /// Watches until the watch ends, or until a miss may be answered with a list (`nil`).
    private func watch(from resourceVersion: String, nextList: ContinuousClock.Instant) async -> PodWatchPlan.Report? {
        await withTaskGroup(of: WatchOutcome.self) { group in
            group.addTask { .ended(await self.watch(from: resourceVersion)) }
            group.addTask {
                guard await self.signal.wait() else { return .undisturbed }
                if (try? await self.clock.sleep(until: nextList)) != nil { return .missed }
                // The watch has ended first: the next one, or the list before it, finds the signal raised.
                self.signal.raise()
                return .undisturbed
            }
            // Whichever comes first ends the other, and the group ends when both have: nothing of this watch reaches
            // the sink after the next list, and no miss is lost.
            var report: PodWatchPlan.Report?
            var isMissed = false
            for await outcome in group {
                group.cancelAll()
                switch outcome {
                case .ended(let value): report = value
                case .missed: isMissed = true
                case .undisturbed: break
                }
            }
            return isMissed ? nil : report
        }
    }

    private enum WatchOutcome: Sendable {
        case ended(PodWatchPlan.Report)
        case missed
        case undisturbed
    }

    private func watch(from resourceVersion: String) async -> PodWatchPlan.Report {
        let start = clock.now
        var report = PodWatchPlan.Report(
            end: .ended, resourceVersion: resourceVersion, madeProgress: false, lasted: .zero
        )
        // One set of rules for the whole watch: those that it read the labels for.
        let policies = policies.withLock { $0 }
        report.end = await client.watchPods(
            nodeName: nodeName,
            labels: policies.labelKeys.union(auditedLabels),
            from: resourceVersion,
            seconds: watchSeconds(),
            opened: {
                storage.withLock { status in
                    status.isWatching = true
                    status.lastContact = clock.now
                }
            },
            receive: { event in receive(event, policies, &report) }
        )
        report.lasted = clock.now - start
        return report
    }

    private func watchSeconds() -> Int {
        let range = options.watchSeconds
        return min(range.lowerBound + Int(Double(range.count) * random()), range.upperBound)
    }

    private func receive(_ event: WatchEvent, _ policies: PolicyTable, _ report: inout PodWatchPlan.Report) {
        // A cancelled watch may still have lines in hand; the list that follows knows better.
        guard !Task.isCancelled else { return }
        var isSkipped = false
        switch event {
        case .updated(let observed, let version):
            let pod = observed.record(by: policies, auditing: auditedLabels)
            sink(.updated(pod))
            if pod.isTooLarge { note(tooLarge: pod) } else { largePods.withLock { _ = $0.remove(pod.uid) } }
            report.resourceVersion = version ?? report.resourceVersion
        case .deleted(let uid, let version):
            sink(.deleted(uid))
            largePods.withLock { _ = $0.remove(uid) }
            report.resourceVersion = version ?? report.resourceVersion
        case .bookmark(let version):
            report.resourceVersion = version ?? report.resourceVersion
        case .skipped(let version):
            isSkipped = true
            report.resourceVersion = version ?? report.resourceVersion
        case .failure, .malformed:
            return
        }
        report.madeProgress = true
        storage.withLock { [version = report.resourceVersion] status in
            status.lastContact = clock.now
            status.resourceVersion = version
            status.skippedObjects += isSkipped ? 1 : 0
        }
        if isSkipped { logger.info("watch event without a usable pod skipped") }
    }

    private func note(tooLarge pod: PodRecord) {
        storage.withLock { $0.tooLargeObjects += 1 }
        guard largePods.withLock({ $0.insert(pod.uid).inserted }) else { return }
        logger.warning(
            "pod object too large to be read: this pod gets no credentials",
            metadata: [
                "namespace": "\(pod.namespace)", "pod": "\(pod.name)", "uid": "\(pod.uid)",
                "limit": "\(ObjectSize.written) bytes of JSON",
            ])
    }

    private func note(_ report: PodWatchPlan.Report, next: PodWatchPlan.Step) {
        let (kind, problem): (String, String)
        switch report.end {
        case .ended: return
        case .expired(let message): (kind, problem) = ("expired", "expired: \(message)")
        case .silent: (kind, problem) = ("silent", "silent for too long")
        case .broken(let message): (kind, problem) = ("broken", message)
        case .disconnected(let message): (kind, problem) = ("disconnected", message)
        case .refused(let failure): (kind, problem) = ("refused", failure.message)
        }
        guard !Task.isCancelled else { return }
        storage.withLock { status in
            status.lastError = problem
            status.brokenWatches[kind, default: 0] += 1
        }
        let step = next == .list ? "list" : "resume"
        logger.info("pod watch ended", metadata: ["reason": "\(problem)", "next": "\(step)"])
    }
}
