package import Attribution
import BPF
package import EventLoops
package import Logging
package import Settings
import Synchronization
import Tokens

/// Proves that connections through the hooks reach this agent, by making one as its own pod, at the start and every ten
/// seconds.
///
/// The agent's own process is in its own pod's cgroup, so the kernel treats its connections as it treats any pod's. An
/// attempt succeeds when this process accepts the connection with the kernel's tag for this very socket (`SO_COOKIE`).
/// It must also answer with the UID that the downward API gave (`pod-uid`). No other process can bring that about.
///
/// An attempt is some ten system calls and two hundred bytes.
package final class ConnectionProof: Sendable {
    /// The pauses between two attempts, after a success and after a failure.
    static let pause = (success: Duration.seconds(10), failure: Duration.seconds(1))
    /// One attempt at one address may take so long.
    static let limit = Duration.seconds(2)
    /// The pauses between two looks at a connection that is under way.
    private static let betweenLooks = Backoff(shortest: .milliseconds(1), longest: .milliseconds(50))
    /// Failures in a row that count: one alone may be a busy machine.
    package static let failuresMax = 2

    /// The state of the proof, for readiness, `check` and `explain`.
    package struct Status: Sendable, Equatable {
        /// The time of the latest attempt that succeeded.
        package var provenAt: ContinuousClock.Instant?
        /// The number of attempts since then that failed.
        package var failures = 0
        /// Why the latest attempt failed; `nil`: it succeeded, or there was none.
        package var problem: String?
    }

    /// This process's own connections since its start, as far as the kernel counts them among those of all pods.
    package struct Traffic: Sendable, Equatable {
        package var begun: UInt64 = 0
        package var arrived: UInt64 = 0
    }

    /// The own pod's UID; `nil`: the agent runs in no pod, and proves nothing.
    package let podUID: PodUID?
    private let configuration: AgentConfiguration
    private let datapath: AttachedDatapath
    private let directory: PodDirectory
    private let logger: Logger
    private let status = Mutex(Status())
    /// `SO_COOKIE` of the socket under way; 0: none.
    private let awaited = Atomic<UInt64>(0)
    private let hasArrived = Atomic<Bool>(false)
    private let begunCount = Atomic<UInt64>(0)
    private let arrivedCount = Atomic<UInt64>(0)

    package init(
        _ configuration: AgentConfiguration, datapath: AttachedDatapath, directory: PodDirectory, logger: Logger
    ) {
        podUID = configuration.podUID
        self.configuration = configuration
        self.datapath = datapath
        self.directory = directory
        self.logger = logger
    }

    package var current: Status { status.withLock { $0 } }

    package var traffic: Traffic {
        Traffic(
            begun: begunCount.load(ordering: .relaxed), arrived: arrivedCount.load(ordering: .relaxed))
    }

    /// Notes that this process has accepted a connection with this tag. Called for every connection: one comparison.
    package func observe(_ tag: CallerTag) {
        guard tag.socketCookie == awaited.load(ordering: .relaxed), tag.socketCookie != 0 else { return }
        arrivedCount.wrappingAdd(1, ordering: .relaxed)
        hasArrived.store(true, ordering: .releasing)
    }

    /// Attempts it again and again until the task is cancelled, without a thread of its own. `isServing` says whether this
    /// agent accepts connections: an agent that has handed over no longer does.
    package func run(on executor: EventLoopExecutor, isServing: @escaping @Sendable () -> Bool) async {
        guard let podUID else { return await untilCancelled() }
        await withTaskExecutorPreference(executor) {
            await repeatAttempts(as: podUID, on: executor, isServing: isServing)
        }
    }

    private func repeatAttempts(
        as podUID: PodUID, on executor: EventLoopExecutor, isServing: @Sendable () -> Bool
    ) async {
        while !Task.isCancelled {
            var pause = Self.pause.success
            if isServing() {
                let problem = await attemptAll(as: podUID, on: executor)
                if Task.isCancelled { return }
                record(problem)
                if problem != nil { pause = Self.pause.failure }
            }
            // Cancellation is what the loop's condition looks at.
            try? await executor.sleep(for: pause)
        }
    }

    /// Notes how an attempt ended, and logs what that changes.
    func record(_ problem: String?) {
        let (before, after) = status.withLock { status in
            let before = status
            status.problem = problem
            if problem == nil {
                status.provenAt = .now
                status.failures = 0
            } else {
                status.failures += 1
            }
            return (before, status)
        }
        if let problem, after.failures == Self.failuresMax {
            logger.error(
                "the agent's own connection through the hooks is not answered: not ready",
                metadata: ["reason": "\(problem)"])
        } else if problem == nil, before.provenAt == nil || before.failures >= Self.failuresMax {
            logger.info("the agent's own connection through the hooks is answered with its own pod-uid")
        }
    }

    /// Attempts every address. Why there is no proof; `nil`: there is.
    private func attemptAll(as podUID: PodUID, on executor: EventLoopExecutor) async -> String? {
        guard let datapath = datapath.current else { return "no hook is attached yet" }
        let missing = datapath.missingHooks
        guard missing.isEmpty else { return "not tried: the hook \(missing.joined(separator: ", ")) is detached" }
        if let policy = directory.record(for: podUID)?.policy, policy != .attribute {
            return "not tried: the policy \(policy) names the agent's own pod; exempt it, so that it can be proven"
        }
        for endpoint in configuration.redirectEndpoints {
            if let problem = await attempt(endpoint, as: podUID, on: executor) { return "\(endpoint.text): \(problem)" }
        }
        return nil
    }

    private func attempt(
        _ endpoint: AgentConfiguration.Address, as podUID: PodUID, on executor: EventLoopExecutor
    ) async -> String? {
        if let problem = OwnConnection.redirectProblem(at: endpoint.text) { return problem }
        let connection: OwnConnection
        do throws(AgentError) {
            connection = try OwnConnection(to: endpoint.text)
        } catch {
            return error.description
        }
        defer {
            awaited.store(0, ordering: .relaxed)
            connection.close()
        }
        hasArrived.store(false, ordering: .relaxed)
        awaited.store(connection.cookie, ordering: .relaxed)
        let deadline = ContinuousClock.now + Self.limit
        if let problem = connection.begin() { return problem }
        begunCount.wrappingAdd(1, ordering: .relaxed)
        var looks = 0
        while !hasArrived.load(ordering: .acquiring) {
            if let problem = connection.problem { return problem }
            guard .now < deadline, await Self.sleep(&looks, on: executor) else { return notArrived }
        }
        guard connection.ask() else { return "the agent closed the connection before it was asked" }
        looks = 0
        while true {
            switch connection.answer() {
            case .complete(200, podUID.description): return nil
            case .complete(let status, let body): return "answered \(status) \(body), expected this pod's UID \(podUID)"
            case .broken: return "the agent closed the connection without an answer"
            case .incomplete: break
            }
            guard .now < deadline, await Self.sleep(&looks, on: executor) else {
                return "accepted, but not answered within 2 s"
            }
        }
    }

    private var notArrived: String {
        "redirected to the agent's listener in the node's network namespace, but not accepted within 2 s: does a filter of the node "
            + "(nftables, iptables: input, output) drop what stays on the interface lo?"
    }

    /// Waits, each time twice as long, up to 50 ms. Whether the task goes on.
    private static func sleep(_ looks: inout Int, on executor: EventLoopExecutor) async -> Bool {
        looks += 1
        return (try? await executor.sleep(for: betweenLooks.pause(after: looks))) != nil
    }
}
