import Attribution
import BPF
import Clouds
import Foundation
import Logging
import NIOPosix
import Operations
import Testing

@testable import Diagnostics
@testable import Settings

/// An admin socket that answers what it is told, in place of an agent's.
private func withAgent(
    _ views: [String: [UInt8]], _ body: (_ socket: String, _ directory: String) async throws -> Void
) async throws {
    let directory = FileManager.default.temporaryDirectory.path + "/agent-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(
        atPath: directory, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let endpoints: [String: AdminServer.Endpoint] = views.mapValues { bytes in { bytes } }
    let server = AdminServer(
        path: directory + "/admin.sock", endpoints: endpoints,
        eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
        logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
    try await server.start()
    do {
        try await body(directory + "/admin.sock", directory)
    } catch {
        await server.stop()
        throw error
    }
    await server.stop()
}

private func json(_ value: some Encodable) throws -> [UInt8] { [UInt8](try JSONEncoder().encode(value)) }

/// Tests what `check` makes of an agent's own answers.
@Suite(.timeLimit(.minutes(5))) struct PostureAgentTests {
    private static let uid = PodUID("11111111-2222-3333-4444-555555555555")
    private static let proven = Readiness.Condition("connection", problem: nil, remark: "answered 3 s ago")

    private static func status() -> AgentStatus {
        AgentStatus(
            version: AgentVersion.current, node: "node-a", hooks: ["connect4": "attached"], kernel: [:], requests: [:],
            namespaces: 1, namespacesBy: "nsfs handles", pods: 1, cgroups: 1, connectionCounts: 0, policies: 0,
            connections: 0, tokenEntries: 0, podsSynced: true, podWatchError: nil, podWatchSilentSeconds: 1,
            podsNotArriving: [], upstreamOutages: [:], isWatchingPods: true)
    }

    /// The findings about an agent with this status and readiness, by their IDs.
    private static func findings(
        _ status: AgentStatus, _ conditions: [Readiness.Condition] = [PostureAgentTests.proven],
        ofPod pod: PodUID? = PostureAgentTests.uid
    ) async throws -> [String: Posture.Item] {
        let views = [
            "/debug/status": try json(status),
            "/debug/ready": try json(ReadinessReport(Readiness(conditions), podUID: pod)),
        ]
        var found: [String: Posture.Item] = [:]
        try await withAgent(views) { socket, _ in
            let check = try await PostureCheck.of("admin.socket=\(socket)")
            let finding = await check.agentFinding(isInstalled: true)
            #expect(finding.isUp)
            for item in finding.items { found[item.id] = item }
        }
        return found
    }

    @Test func `an agent that does its work is ok in every respect that it tells`() async throws {
        let found = try await Self.findings(Self.status())
        let ids = ["reachable", "version", "ready", "connection", "watch", "upstreams", "arrivals"].map {
            "agent.\($0)"
        }
        #expect(Set(found.keys) == Set(ids) && found.values.allSatisfy { $0.state == .ok })
        #expect(found["agent.ready"]?.found == "serves, with 1 hook and 1 pod")
        // An agent of an earlier version says less.
        var earlier = Self.status()
        (earlier.podsNotArriving, earlier.upstreamOutages, earlier.isWatchingPods) = (nil, nil, nil)
        let less = try await Self.findings(earlier, [Readiness.Condition("hooks", problem: nil)])
        #expect(Set(less.keys) == Set(ids.filter { !$0.hasSuffix("s") && !$0.hasSuffix("connection") }))
    }

    @Test func `what an agent lacks is degraded, in its own words`() async throws {
        var status = Self.status()
        status.version = "0.0.1"
        status.upstreamOutages = ["sts": "timed out", "iam": "HTTP 500"]
        status.podsNotArriving = ["shop/web"]
        let found = try await Self.findings(
            status,
            [
                Readiness.Condition("hooks", problem: "detached"), Readiness.Condition("pods", problem: "not read"),
                Self.proven,
            ])
        for (id, words) in [
            ("version", "the agent is 0.0.1, this command \(AgentVersion.current)"),
            ("ready", "not ready: hooks: detached; pods: not read"),
            ("upstreams", "the latest call got no usable answer: iam: HTTP 500; sts: timed out"),
            ("arrivals", "redirected to the agent, and none arrives: connections of shop/web"),
        ] {
            let item = found["agent.\(id)"]
            #expect(item?.state == .degraded && item?.found == words)
        }
        let inNoPod = try await Self.findings(Self.status(), ofPod: nil)
        #expect(inNoPod["agent.connection"]?.state == .untried)
    }

    @Test func `a watch may be silent between two bookmarks, and closed while it is opened again`() async throws {
        for (isSynced, silence, isOpen, words) in [
            (true, 120, true, nil), (true, 121, true, "nothing from the API server for 121 s: refused"),
            (true, 5, false, nil), (true, 6, false, "no watch is open, for 6 s now: refused"),
            (false, 0, true, "refused"),
            (true, nil, true, "refused"),
        ] as [(Bool, Int64?, Bool, String?)] {
            var status = Self.status()
            status.podsSynced = isSynced
            status.podWatchSilentSeconds = silence
            status.isWatchingPods = isOpen
            status.podWatchError = "refused"
            let item = try await Self.findings(status)["agent.watch"]
            #expect(item?.state == (words == nil ? .ok : .degraded))
            if let words { #expect(item?.found == words) }
        }
    }

    @Test func `where no agent answers, that is a fault where hooks are, and to be expected where none are`()
        async throws
    {
        let check = try await PostureCheck.of()
        for (isInstalled, state) in [(true, Posture.State.degraded), (false, .unknown)] {
            let finding = await check.agentFinding(isInstalled: isInstalled)
            #expect(!finding.isUp && finding.items.map(\.id) == ["agent.reachable"])
            #expect(finding.items.first?.state == state)
        }
    }
}

/// Keys that a command was not given, from the agent that runs.
@Suite(.timeLimit(.minutes(10))) struct BorrowedConfigurationTests {
    private static func setting(_ key: String, _ value: String) -> AgentConfiguration.Setting {
        AgentConfiguration.Setting(key: key, value: value, source: "agent.yaml")
    }

    private static func load(_ overrides: [String]) throws -> AgentConfiguration {
        try ConfigurationLoader.load(file: nil, environment: [:], overrides: overrides, isComplete: false)
    }

    @Test func `what says how the agent acts on the network is borrowed; where its files lie is not`() async throws {
        let settings = [
            Self.setting("node-name", "node-a"), Self.setting("google.provider", TestConfiguration.provider),
            Self.setting("google.project-id", "p"), Self.setting("google.project-number", "1"),
            Self.setting("listen.port", "2001"), Self.setting("redirect.endpoints", "169.254.169.254"),
            Self.setting("kubernetes.kubeconfig", "/container/kubeconfig"), Self.setting("guard.clouds", "nonsense"),
        ]
        try await withAgent(["/debug/config": try json(settings)]) { socket, _ in
            let given = try Self.load(["admin.socket=\(socket)", "redirect.endpoints=fd20:ce::254"])
            #expect(Set(given.missing).isSuperset(of: ["node-name", "google.provider"]))
            let (completed, borrowed) = await PostureCheck.complete(given)
            #expect(completed.missing == [])
            #expect(completed.nodeName == "node-a" && completed.listenPort == 2001)
            #expect(completed.kubeconfig == "")
            #expect(completed.redirectEndpoints.map(\.text) == ["fd20:ce::254"])
            #expect(completed.clouds == given.clouds)
            #expect(
                Set(borrowed) == [
                    "node-name", "google.provider", "google.project-id", "google.project-number", "listen.port",
                ])
        }
    }

    @Test func `a configuration that says everything is the operator's own; without an agent nothing is made up`()
        async throws
    {
        try await withAgent(["/debug/config": try json([Self.setting("listen.port", "2001")])]) { socket, _ in
            let complete = try TestConfiguration.load(["admin.socket=\(socket)"])
            let (unchanged, borrowed) = await PostureCheck.complete(complete)
            #expect(unchanged == complete && borrowed == [])
        }
        let alone = try Self.load(["admin.socket=/nowhere/admin.sock"])
        let (unchanged, borrowed) = await PostureCheck.complete(alone)
        #expect(unchanged == alone && borrowed == [])
    }
}

@Suite(.timeLimit(.minutes(10))) struct LivenessTests {
    @Test func `an agent lives that answers, or that holds the pins and has no socket`() async throws {
        try await withAgent(["/debug/live": Array("{}".utf8)]) { socket, directory in
            let pins = directory + "/pins"
            #expect(await Liveness.objection(socket: socket, pinDirectory: pins) == nil)
            let missing = directory + "/no-agent.sock"
            let absent = await Liveness.objection(socket: missing, pinDirectory: pins)
            #expect(absent?.contains("no agent answers there") == true)

            try FileManager.default.createDirectory(atPath: pins, withIntermediateDirectories: false)
            #expect(await Liveness.objection(socket: missing, pinDirectory: pins) != nil)
            let lock = try #require(PinLock(existing: PinDirectory(path: pins)))
            let isHeld = try lock.tryAcquire()
            try #require(isHeld)
            #expect(await Liveness.objection(socket: missing, pinDirectory: pins) == nil)
            // A socket without an agent is a fault, whichever process holds the pins.
            let stale = directory + "/stale.sock"
            try Data().write(to: URL(filePath: stale))
            #expect(await Liveness.objection(socket: stale, pinDirectory: pins) != nil)
        }
    }
}
