import Foundation
import Synchronization

/// Everything that takes part in the attacks: pods, another machine, and the agent.
final class AttackStage: Sendable {
    /// The services of the agent that is attacked.
    enum Service: Sendable {
        /// Metadata of all three clouds: what is held is held with every protocol there is.
        case clouds
        /// Google's alone.
        case google
        /// The clouds', with SPIFFE identities by port and socket, and metadata over TLS.
        case identities
    }

    let world: LabWorld
    /// The attacking pod.
    let mallory: RunningPod
    /// Another of the attacker's, of the victim's quality of service.
    let neighbour: RunningPod
    /// Another of the attacker's, in the node's network namespace: no guard of forwarded packets sees it.
    let onHost: RunningPod
    /// A pod that asks all the time.
    let target: RunningPod
    /// A pod whose address is taken. The target's would be, too, but no agent can repair a bridge that believes in
    /// lies.
    let bystander: RunningPod
    /// A victim with identities in AWS and Azure, and none of Google's.
    let cloudTarget: RunningPod
    /// One of the attacker's, with other identities there.
    let cloudMallory: RunningPod
    let aws: AWSLab
    let azure: AzureLab
    /// Another machine on the node's network.
    let machine: NetworkNamespace
    private let listeners: [CInt]
    private let currentAgent = Mutex<AgentProcess?>(nil)
    private let currentService = Mutex(Service.clouds)
    private let currentSigner = Mutex<LabSigner?>(nil)
    private let ownPod = Mutex<RunningPod?>(nil)

    private static let agentNamespace = "podidentd"
    static let targetRole = "ledger"
    static let malloryRole = "guest"
    static let targetClient = "aaaaaaaa-1111-2222-3333-444444444444"
    static let malloryClient = "bbbbbbbb-1111-2222-3333-444444444444"
    static let machineAddress = "10.88.200.1"
    /// A port of the node's own addresses where a server listens, and nothing is protected.
    static let openPort = 8099

    var agent: AgentProcess {
        get throws {
            guard let agent = currentAgent.withLock({ $0 }) else { throw LabError("there is no agent") }
            return agent
        }
    }

    /// The services of the agent that was put in place last.
    var service: Service { currentService.withLock { $0 } }
    /// The socket on which the agent serves SPIFFE identities to processes that know no port.
    var spiffeSocket: String { world.node.directory + "/spiffe/agent.sock" }

    init(world: LabWorld) async throws {
        self.world = world
        for name in ["victim", "mallory"] {
            world.cluster.kubernetes.createServiceAccount(namespace: name, name: "default")
        }
        (aws, azure) = (try await world.startAWS(), try await world.startAzure())
        for (namespace, role, clientID) in [
            ("victim", Self.targetRole, Self.targetClient), ("mallory", Self.malloryRole, Self.malloryClient),
        ] {
            azure.addServiceAccount("cloud", namespace: namespace, clientID: clientID)
            aws.addServiceAccount(
                "cloud", namespace: namespace, role: role,
                annotations: [AzureLab.clientAnnotation: clientID, AzureLab.tenantAnnotation: AzureLab.tenant])
        }
        cloudTarget = try await world.addPod("cloud-victim", namespace: "victim", serviceAccount: "cloud")
        cloudMallory = try await world.addPod("cloud-mallory", namespace: "mallory", serviceAccount: "cloud")
        target = try await world.addPod("victim", namespace: "victim")
        bystander = try await world.addPod("bystander", namespace: "victim")
        mallory = try await world.addPod("mallory", namespace: "mallory", quality: .burstable)
        neighbour = try await world.addPod("neighbour", namespace: "mallory")
        onHost = try await world.addPod("on-host", namespace: "mallory", isHostNetwork: true)
        machine = try await Self.addMachine(to: world.node)
        listeners = try [LabNode.address, LabNode.address6, LabNode.metadataAddress6].map { host in
            try world.node.network.listen(host: host, port: host == LabNode.metadataAddress6 ? 80 : Self.openPort)
        }
    }

    private static func addMachine(to node: LabNode) async throws -> NetworkNamespace {
        let machine = NetworkNamespace(name: "\(node.identifier)-machine")
        try await Command.require(
            ["ip", "-batch", "-"],
            input: """
                netns add \(machine.name)
                link add machine netns \(node.network.name) type veth peer name eth0 netns \(machine.name)
                """
        )
        try await node.network.ip("link set machine master br0 up")
        try await machine.ip(
            """
            link set lo up
            addr add \(machineAddress)/16 dev eth0
            link set eth0 up
            route add default via \(LabNode.address)
            """
        )
        return machine
    }

    func close() async {
        await currentSigner.withLock({ $0 })?.stop()
        for listener in listeners { Glibc.close(listener) }
        _ = try? await Command.run(["ip", "netns", "delete", machine.name])
    }

    // MARK: The agent

    /// Puts an agent with other services in the place of the one that runs.
    func serve(_ service: Service) async throws {
        switch service {
        case .clouds:
            await stopAgent()
            try await startAgent()
        case .google:
            await stopAgent()
            try await startAgent(["clouds": "google"])
        case .identities:
            var changes = try await signer().agentConfiguration
            let pod = try await agentPod()
            changes["spiffe.socket"] = spiffeSocket
            changes["spiffe.metadata-port"] = "443"
            changes["pod-uid"] = pod.uid
            await stopAgent()
            try await startAgent(changes, in: pod)
            try await agent.log.first(within: .seconds(60)) { $0.contains("metadata over TLS is served") }
        }
        currentService.withLock { $0 = service }
    }

    /// Starts an agent of ``Service/clouds``, but for `changes`.
    func startAgent(_ changes: [String: String?] = [:], in pod: RunningPod? = nil) async throws {
        let clouds = aws.agentConfiguration.merging(azure.agentConfiguration) { $1 }
            .merging(["clouds": "google, aws, azure"]) { $1 }
        let enter = pod.map {
            [
                "sh", "-c", "echo 0 > \"$0\" && exec \"$@\"",
                world.node.cgroupDirectory($0.containerCgroup) + "/cgroup.procs",
            ]
        }
        let agent = try await world.startAgent(
            clouds.mapValues { $0 as String? }.merging(changes) { $1 }, prefix: enter ?? [])
        currentAgent.withLock { $0 = agent }
    }

    /// The signer of SVIDs, started at the first call, with an API server that serves PodCertificateRequests from then on.
    func signer() async throws -> LabSigner {
        if let signer = currentSigner.withLock({ $0 }) { return signer }
        world.cluster.kubernetes.serve(.v1)
        try LabSigner.allowRequests(of: "podidentd.io/spiffe", in: world)
        let signer = try await LabSigner.start(
            in: world, options: LabSigner.signsRequests + ["--agent", "\(Self.agentNamespace)/podidentd"])
        currentSigner.withLock { $0 = signer }
        return signer
    }

    /// The agent's own pod, which has an identity where metadata is served over TLS, made at the first call.
    func agentPod() async throws -> RunningPod {
        if let pod = ownPod.withLock({ $0 }) { return pod }
        world.cluster.kubernetes.createServiceAccount(namespace: Self.agentNamespace, name: "podidentd")
        let pod = try await world.addPod(
            "podidentd-1", namespace: Self.agentNamespace, serviceAccount: "podidentd", isHostNetwork: true)
        ownPod.withLock { $0 = pod }
        return pod
    }

    func killAgent() async throws {
        await (try agent).kill()
    }

    func stopAgent() async {
        await currentAgent.withLock({ $0 })?.stop()
    }

    /// Takes hooks away behind the agent's back, with their pins.
    ///
    /// Where the host guard has no links, its nftables table goes, with either of their names.
    func detach(_ hooks: String...) async throws {
        for hook in hooks {
            if hook == Self.uplinks {
                try detachUplinks()
                continue
            }
            let isHostGuard = ["forward", "translated", "input"].contains { hook.hasPrefix($0) }
            if isHostGuard, !LabKernel.hasNetfilterLinks {
                try await world.node.removeHostGuardTable()
            } else {
                try PinnedLink.detach(at: "\(world.pinDirectory)/links/\(hook)")
            }
        }
    }

    /// Stands for the links at all interfaces of the node, where the kernel has such (Linux 6.6).
    static let uplinks = "the uplinks"

    private func detachUplinks() throws {
        let links = world.pinDirectory + "/links"
        for name in try FileManager.default.contentsOfDirectory(atPath: links) where name.hasPrefix("uplink-") {
            try PinnedLink.detach(at: "\(links)/\(name)")
        }
    }

    // MARK: Attackers

    /// Runs the attack program and returns what it printed.
    func got(
        _ arguments: [String], _ attacker: Attacker, in pod: RunningPod? = nil, cgroup: String? = nil
    ) async throws -> String {
        try Self.output(of: await (pod ?? mallory).attack(arguments, as: attacker, cgroup: cgroup).result())
    }

    /// The same in a network namespace, by a process that is in no pod's cgroup.
    func got(_ arguments: [String], in network: NetworkNamespace) async throws -> String {
        try Self.output(of: await outside(arguments, in: network).result())
    }

    func outside(_ arguments: [String], in network: NetworkNamespace) throws -> Command {
        let prefix =
            network == world.node.network ? world.node.processCommand : ["nsenter", "--net=\(network.path)", "--"]
        return try Command(prefix + [try Attacker.program()] + arguments)
    }

    /// Starts the attack program, and waits until it says `word`.
    func began(_ command: Command, _ word: String) async throws -> Command {
        do {
            try await command.errorLines.first(within: .seconds(60)) { $0 == word }
        } catch {
            throw AttackNotMounted("no '\(word)' in: \(command.errorLines.events.joined(separator: "; "))")
        }
        return command
    }

    static func output(of result: CommandResult) throws -> String {
        let words = result.errorOutput.trimmingCharacters(in: .whitespacesAndNewlines)
        guard result.succeeded else { throw AttackNotMounted("status \(result.status): \(words)") }
        return result.output
    }
}
