import Foundation

/// A world with an agent, two ServiceAccounts and a Cloud Storage, in which real clients run one after the other.
///
/// One at a time: the requests of a client are told apart by what the agent's counters grow while it runs.
package struct ClientLab: Sendable {
    private let world: LabWorld
    private let agent: AgentProcess
    private let programs: ClientPrograms
    private let storage: CloudStorageEmulator
    private let storageURL: String
    /// The Service of another tenant that claims the metadata server's name.
    private let tenant: TrapServer

    private static let namespace = "clients"
    private static let plainServiceAccount = "plain"
    private static let linkedServiceAccount = "linked"
    private static let googleAccount = "clients@\(LabWorld.project).iam.gserviceaccount.com"
    /// The time from a query to its answer: a resolver nearby. Detection by a race must be won against it.
    private static let resolverDelay = Duration.milliseconds(5)
    /// Agent and clients are scheduled round-robin with this real-time priority. Detection races the agent's answer
    /// against the resolver's; the resolver's delay passes whatever else the machine does, and they need a processor for
    /// theirs: a busy machine is not to decide the race.
    private static let priority = "1"
    /// Longer than any client takes, retries included.
    private static let secondsMax = 60

    /// Makes everything, runs `body`, and takes everything down whatever happens.
    package static func run(
        keys: LabCluster.Keys, _ body: @Sendable (ClientLab) async throws -> Void
    ) async throws {
        try await LabWorld.with(keys: keys) { world in
            let storage = CloudStorageEmulator(ledger: world.cluster.ledger, clock: world.cluster.clock)
            let network = world.node.network
            let server = LabHTTPServer(
                LabHTTPServer.Configuration(
                    host: LabNode.address, listener: { try network.listen(host: $0, port: $1) }
                )
            ) { await storage.handle($0) }
            let url = try await server.start()
            do {
                try await run(world, storage, url, body)
            } catch {
                await server.stop()
                throw error
            }
            await server.stop()
        }
    }

    private static func run(
        _ world: LabWorld, _ storage: CloudStorageEmulator, _ url: String,
        _ body: @Sendable (ClientLab) async throws -> Void
    ) async throws {
        let kubernetes = world.cluster.kubernetes
        kubernetes.createServiceAccount(namespace: namespace, name: plainServiceAccount)
        kubernetes.createServiceAccount(
            namespace: namespace, name: linkedServiceAccount,
            annotations: ["iam.gke.io/gcp-service-account": googleAccount]
        )
        world.cluster.iamCredentials.allowImpersonation(
            of: googleAccount, by: .serviceAccount(namespace: namespace, name: linkedServiceAccount)
        )
        let programs = try ClientPrograms(above: world.binaries)
        let tenant = try await TenantService.start(on: world.node)
        let agent = try await world.startAgent()
        do {
            try await Command.require(
                ["chrt", "--all-tasks", "--rr", "--pid", priority, "\(agent.processIdentifier)"]
            )
            try await body(
                ClientLab(
                    world: world, agent: agent, programs: programs, storage: storage, storageURL: url, tenant: tenant
                )
            )
        } catch {
            await agent.kill()
            await tenant.stop()
            throw error
        }
        await agent.stop()
        await tenant.stop()
    }

    /// Runs a client in a pod of its own.
    package func run(_ clientCase: ClientCase) async throws -> ClientReport {
        let resolution = clientCase.resolution
        let nameServer = try await nameServer(resolution, isClaimed: resolution != .none)
        do {
            var evidence = try await evidence(of: clientCase)
            await nameServer.stop()
            if resolution == .corefile {
                evidence.spellings = Spelling.observed(in: nameServer.questions.events, namespace: Self.namespace)
            }
            let problems =
                clientCase.works
                ? evidence.problems(of: clientCase.client, expected: clientCase.requests) { token in
                    world.cluster.ledger.describe(token)
                } : evidence.problemsWithoutServer(of: clientCase.client)
            return ClientReport(clientCase: clientCase, evidence: evidence, problems: problems)
        } catch {
            await nameServer.stop()
            throw error
        }
    }

    /// The addresses that a pod finds by each spelling, with the claim of another tenant: the program's output.
    package func look(with resolution: NameResolution, by library: CLibrary) async throws -> String {
        let nameServer = try await nameServer(resolution, isClaimed: true)
        let pod = try await world.addPod("names", namespace: Self.namespace, serviceAccount: Self.plainServiceAccount)
        let directory = "\(world.node.directory)/\(pod.name)"
        do {
            let files = try Self.write(resolution.files(namespace: Self.namespace), to: directory)
            let command = pod.commandLine(programs.command(library.lookup), files: files)
            let output = try await Command.require(command)
            await remove(pod, directory)
            await nameServer.stop()
            return output
        } catch {
            await remove(pod, directory)
            await nameServer.stop()
            throw error
        }
    }

    private func nameServer(_ resolution: NameResolution, isClaimed: Bool) async throws -> PodNameServer {
        try await PodNameServer.start(
            resolution, network: world.node.network, directory: world.node.directory, deploy: programs.nameOptions,
            claimed: isClaimed ? TenantService.address : nil, delay: Self.resolverDelay
        )
    }

    private func evidence(of clientCase: ClientCase) async throws -> ClientEvidence {
        let pod = try await world.addPod(
            "client-\(UInt32.random(in: 0...UInt32.max))", namespace: Self.namespace,
            serviceAccount: clientCase.usesGoogleAccount ? Self.linkedServiceAccount : Self.plainServiceAccount
        )
        let directory = "\(world.node.directory)/\(pod.name)"
        do {
            let storageCallers = storage.callers.total
            let tenantConnections = tenant.connections
            let before = try await counters()
            let command = try commandLine(for: clientCase, home: directory)
            let files = try Self.write(clientCase.resolution.files(namespace: Self.namespace), to: directory)
            let result = try await Command.run(pod.commandLine(command, files: files))
            let after = try await counters()
            let evidence = ClientEvidence(
                podUID: pod.uid, account: clientCase.usesGoogleAccount ? Self.googleAccount : nil,
                exitStatus: result.status, output: result.output, errorOutput: result.errorOutput,
                requests: after.growth(since: before),
                storageCallers: Array(storage.callers.events.suffix(storage.callers.total - storageCallers)),
                exchanges: world.cluster.securityTokenService.log.events.count { $0.subject.podUID == pod.uid },
                trapConnections: world.cluster.trap?.connections ?? 0,
                tenantConnections: tenant.connections - tenantConnections
            )
            await remove(pod, directory)
            return evidence
        } catch {
            await remove(pod, directory)
            throw error
        }
    }

    private func remove(_ pod: RunningPod, _ directory: String) async {
        await world.deletePod(pod)
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// A clean environment: nothing of the machine's own accounts, proxies or configuration.
    private func commandLine(for clientCase: ClientCase, home: String) throws -> [String] {
        var environment = [
            "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin", "HOME": home, "LANG": "C.UTF-8",
            "CLIENTS": programs.built, "AUDIENCE": ClientCase.audience,
            "STORAGE_ENDPOINT": storageURL, "STORAGE_BUCKET": CloudStorageEmulator.bucket,
        ]
        if clientCase.namesAddress { environment["GCE_METADATA_HOST"] = LabNode.metadataAddress }
        return ["env", "-i"] + environment.map { "\($0)=\($1)" }.sorted()
            + ["chrt", "--rr", Self.priority, "timeout", "-k", "2", "\(Self.secondsMax)"]
            + programs.command(clientCase.client.program)
    }

    /// Writes files by the paths at which a pod sees them, and returns where they lie by the same paths.
    static func write(_ files: [String: String], to directory: String) throws -> [String: String] {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        var places: [String: String] = [:]
        for (path, text) in files {
            let place = "\(directory)/\((path as NSString).lastPathComponent)"
            try text.write(toFile: place, atomically: false, encoding: .utf8)
            places[path] = place
        }
        return places
    }

    private func counters() async throws -> [String: UInt64] {
        try await agent.answers()
    }
}
