import Foundation

/// The main job, shown: five pods ask for their credentials, and none gets another's.
package struct Demo: Sendable {
    let world: LabWorld
    let print: @Sendable (String) -> Void

    package static let reportsAccount = "reports@\(LabWorld.project).iam.gserviceaccount.com"

    package init(world: LabWorld, print: @escaping @Sendable (String) -> Void) {
        self.world = world
        self.print = print
    }

    /// One pod of the demo, and its request.
    private struct Caller {
        var name: String
        var namespace: String
        var serviceAccount: String
        var isHostNetwork = false
        /// Whether it calls through an AF_INET6 socket to the mapped address, as every JVM does.
        var usesMappedAddress = false
    }

    private static let callers = [
        Caller(name: "web-1", namespace: "shop", serviceAccount: "web"),
        Caller(name: "web-2", namespace: "shop", serviceAccount: "web"),
        Caller(name: "reports", namespace: "finance", serviceAccount: "reports"),
        Caller(name: "exporter", namespace: "monitoring", serviceAccount: "exporter", isHostNetwork: true),
        Caller(name: "jvm", namespace: "shop", serviceAccount: "web", usesMappedAddress: true),
    ]

    /// Runs all steps; throws if one does not end as it must.
    package func run() async throws {
        setUpCluster()
        heading("The lab")
        print(
            "  node          \(LabWorld.nodeName): network namespace \(world.node.network.name), \(world.node.kubepods)"
        )
        print("  Kubernetes    \(world.cluster.kubernetesURL)")
        print("  Google STS    \(world.cluster.securityTokenServiceURL)")
        print("  Google IAM    \(world.cluster.iamCredentialsURL)")
        let signer = try await LabSigner.start(in: world)
        print(
            "  signer        https://\(LabNode.address):\(signer.port), trust domain \(LabSigner.trustDomain), as pod "
                + signer.podName)
        print("  trap          http://\(LabNode.metadataAddress) (stands for the machine's own metadata server)")
        var pods: [(Caller, RunningPod)] = []
        for caller in Self.callers {
            pods.append((caller, try await addPod(caller)))
        }

        heading("The agent")
        let agent = try await world.startAgent(signer.agentConfiguration)
        for line in agent.log.events { print("  " + Self.withoutTimestamp(line)) }

        heading("Who asked, and what it got")
        let capture = try DeviceCapture(in: world.node.network)
        for (caller, pod) in pods { try await show(caller, pod) }

        heading("What left the pods meanwhile, and who could be at the far end")
        try await showFarEnds(of: pods[0].1, capture, agent)

        heading("Two pods prove themselves to each other, and a third is refused")
        try await showHandshake(pods.map { ($0.0.name, $0.1) })

        heading("podidentd debug cgroups")
        let dump = try await Command.require(
            [world.binaries + "/podidentd", "debug", "cgroups", "--socket", agent.adminSocket]
        )
        for line in dump.split(separator: "\n") { print("  " + line) }

        heading("A connection straight to the agent's port")
        try await showDirectConnection(from: pods[0].1)

        heading("With the agent stopped")
        await agent.stop()
        await signer.remove()
        try await showRefusal(from: pods[0].1)
    }

    private func setUpCluster() {
        let kubernetes = world.cluster.kubernetes
        kubernetes.createServiceAccount(namespace: "shop", name: "web")
        kubernetes.createServiceAccount(namespace: "monitoring", name: "exporter")
        kubernetes.createServiceAccount(
            namespace: "finance", name: "reports",
            annotations: ["iam.gke.io/gcp-service-account": Self.reportsAccount]
        )
        world.cluster.iamCredentials.createAccount(Self.reportsAccount)
        world.cluster.iamCredentials.allowImpersonation(
            of: Self.reportsAccount, by: .serviceAccount(namespace: "finance", name: "reports")
        )
    }

    private func addPod(_ caller: Caller) async throws -> RunningPod {
        try await world.addPod(
            caller.name, namespace: caller.namespace, serviceAccount: caller.serviceAccount,
            isHostNetwork: caller.isHostNetwork
        )
    }

    private func show(_ caller: Caller, _ pod: RunningPod) async throws {
        let email = try await ask(caller, pod, "email")
        let answer = try await ask(caller, pod, "token")
        let token = try JSONDecoder().decode(Answer.self, from: Data(answer.utf8))
        guard let record = world.cluster.ledger.describe(token.accessToken) else {
            throw LabError("\(caller.name) received a token that no emulator issued")
        }
        guard record.subject.podUID == pod.uid else {
            throw LabError("\(caller.name) received the token of pod \(record.subject.podUID)")
        }
        let how = caller.usesMappedAddress ? "AF_INET6 socket to ::ffff:169.254.169.254" : "curl http://169.254.169.254"
        print(
            """
              \(caller.namespace)/\(caller.name)\(caller.isHostNetwork ? " (hostNetwork)" : ""), \
            ServiceAccount \(caller.serviceAccount), by \(how)
                is         \(email)
                received   \(token.accessToken.prefix(16))..., \(token.expiresIn) s left
                exchanged  for pod \(record.subject.namespace)/\(record.subject.podName), UID \(record.subject.podUID)
            """
        )
    }

    private struct Answer: Decodable {
        var accessToken: String
        var expiresIn: Int

        enum CodingKeys: String, CodingKey {
            case accessToken = "access_token"
            case expiresIn = "expires_in"
        }
    }

    private func ask(_ caller: Caller, _ pod: RunningPod, _ leaf: String) async throws -> String {
        let path = "/computeMetadata/v1/instance/service-accounts/default/\(leaf)"
        if caller.usesMappedAddress {
            let result = try await world.probe(pod, ["--address", "::ffff:169.254.169.254", path]).result()
            let lines = result.output.split(separator: "\n", maxSplits: 2, omittingEmptySubsequences: false)
            guard result.succeeded, lines.count == 3, lines[0] == "status 200" else {
                throw LabError("\(caller.name) got no \(leaf): \(result.output)\(result.errorOutput)")
            }
            return String(lines[2])
        }
        let result = try await pod.run(
            "curl", "-sS", "--fail-with-body", "--max-time", "10", "-H", "Metadata-Flavor: Google",
            "http://169.254.169.254\(path)"
        )
        guard result.succeeded else {
            throw LabError("\(caller.name) got no \(leaf): \(result.output)\(result.errorOutput)")
        }
        return result.output
    }

    /// Shows in three lines that nothing of an exchange crossed a device, and that only holders of a listener on lo
    /// could have answered.
    private func showFarEnds(of pod: RunningPod, _ capture: DeviceCapture, _ agent: AgentProcess) async throws {
        // A frame that must be seen: the capture works.
        _ = try await pod.run("curl", "-s", "--max-time", "1", "http://\(LabNode.address):1/")
        let deadline = ContinuousClock.now + .seconds(60)
        while capture.seen == 0, ContinuousClock.now < deadline { await Task.yield() }
        let counts = capture.stop()
        guard counts.frames > 0, counts.exchanges == 0 else {
            throw LabError(
                "of \(counts.frames) frames on devices \(counts.exchanges) belong to an exchange with the agent")
        }
        print("  frames on all devices of the node and its pods: \(counts.frames), of exchanges with the agent: 0")
        let sockets = try await Command.require(["nsenter", "--net=\(pod.network.path)", "ss", "-Htlnp"])
        let listeners = sockets.split(separator: "\n").filter { $0.contains("%lo:\(AgentProcess.port)") }
        let places = listeners.map { $0.split(separator: " ")[3] }.joined(separator: " and ")
        print("  listening in \(pod.name)'s network namespace: \(places), both on lo alone")
        let holder = "pid=\(agent.processIdentifier),"
        guard listeners.count == 2, listeners.allSatisfy({ $0.contains(holder) }) else {
            throw LabError("not the agent alone listens in \(pod.name): \(sockets)")
        }
        print(
            "  held by: podidentd, PID \(agent.processIdentifier), which is outside of the pod; no other process can be reached there"
        )
    }

    private func showDirectConnection(from pod: RunningPod) async throws {
        let arguments = ["--address", "127.0.0.1", "--port", "\(AgentProcess.port)", "/"]
        let result = try await world.probe(pod, arguments).result()
        print("  \(pod.name)$ podidentd-lab probe \(arguments.joined(separator: " "))")
        print("  \(result.output.trimmingCharacters(in: .newlines))")
        guard result.status == 56 else {
            throw LabError("the agent did not reset a connection that did not come through the redirect")
        }
    }

    private func showRefusal(from pod: RunningPod) async throws {
        let url = "http://169.254.169.254/"
        let result = try await pod.run("curl", "-sS", "--max-time", "5", url)
        print("  \(pod.name)$ curl \(url)")
        print("  \(result.errorOutput.trimmingCharacters(in: .newlines))")
        guard result.status == 7 else { throw LabError("a pod was not refused while the agent was away") }
        let contacts = world.cluster.trap?.connections ?? 0
        print("  connections that reached the trap during all of this: \(contacts)")
        guard contacts == 0 else { throw LabError("a pod reached the machine's own metadata server") }
    }

    /// Has every pod of the demo ask for its token: without a request the tables of the agent are empty.
    package func askOnce() async throws {
        for pod in world.node.pods {
            guard let caller = Self.callers.first(where: { $0.name == pod.name }) else { continue }
            _ = try await ask(caller, pod, "token")
        }
    }

    /// Says how to look around while everything runs.
    package func printInstructions(agent: AgentProcess) {
        heading("Left running")
        let pods = world.node.pods
        if let pod = pods.first {
            print("  Enter the pod \(pod.name):")
            print("    \(pod.commandLine(["bash"]).map(Self.quoted).joined(separator: " "))")
        }
        print("  and ask:")
        print(
            "    curl -H 'Metadata-Flavor: Google' http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token"
        )
        print("  Ask the agent, as an operator on the node does, in its network namespace and with its configuration:")
        for line in operatorLines(agent: agent) { print("    \(line)") }
        print("  Ctrl-C ends and removes everything.")
    }

    /// The lines for a shell by which an operator's commands reach the agent of the lab.
    package func operatorLines(agent: AgentProcess) -> [String] {
        var commands = [["check"], ["debug", "cgroups"], ["debug", "top", "--once"]]
        if let pod = world.node.pods.first { commands.insert(["debug", "explain", pod.name], at: 1) }
        return commands.map { command in
            let words = world.node.processCommand + [world.binaries + "/podidentd"] + command
            return (words + ["--config", agent.configurationPath]).map(Self.quoted).joined(separator: " ")
        }
    }

    private func heading(_ text: String) {
        print("")
        print(text)
    }

    private static func withoutTimestamp(_ line: String) -> String {
        line.split(separator: " ", maxSplits: 1).last.map(String.init) ?? line
    }

    private static func quoted(_ word: String) -> String {
        let isPlain = word.utf8.allSatisfy {
            $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "=")
                || UInt8(ascii: "a")...UInt8(ascii: "z") ~= $0 || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= $0
                || UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0
        }
        return isPlain ? word : "'\(word)'"
    }
}
