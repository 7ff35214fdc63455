import Foundation

/// A world that obeys: what benchmarks stand on. They start the agent themselves, because it is what they measure.
///
/// A command is one JSON object a line, and so is its answer: `{"ok": …}` or `{"error": "…"}`.
package final class Stage {
    private let world: LabWorld
    private var pods: [RunningPod] = []
    private var made = 0
    private var otherTokenServices: [LabHTTPServer] = []
    private var signer: LabSigner?

    private static let namespace = "bench"
    private static let account = "impersonating"
    private static let role = "bench"
    private static let googleAccount = "bench@\(LabWorld.project).iam.gserviceaccount.com"

    package init(world: LabWorld) {
        self.world = world
        let kubernetes = world.cluster.kubernetes
        // Two ServiceAccounts: one stops at STS, the other goes the whole way through IAM Credentials.
        kubernetes.createServiceAccount(namespace: Self.namespace, name: "direct")
        kubernetes.createServiceAccount(
            namespace: Self.namespace, name: Self.account,
            annotations: ["iam.gke.io/gcp-service-account": Self.googleAccount]
        )
        world.cluster.iamCredentials.createAccount(Self.googleAccount)
        world.cluster.iamCredentials.allowImpersonation(
            of: Self.googleAccount, by: .serviceAccount(namespace: Self.namespace, name: Self.account)
        )
    }

    /// Obeys one line. Never throws: what goes wrong is an answer too.
    package func obey(_ line: String) async -> String {
        let answer: JSON
        do {
            let command = try JSONDecoder().decode(StageCommand.self, from: Data(line.utf8))
            answer = ["ok": try await run(command)]
        } catch {
            answer = ["error": .string("\(error)")]
        }
        return answer.text
    }

    private func run(_ command: StageCommand) async throws -> JSON {
        switch command.command {
        case .node: return try node()
        case .pods:
            try await setPods(count: command.count ?? 0)
            return .array(pods.map { description(of: $0) })
        case .delay:
            setDelay(.milliseconds(command.milliseconds ?? 0))
            return .null
        case .tokenLength:
            world.cluster.securityTokenService.setTokenLength(command.count ?? 0)
            world.cluster.iamCredentials.setTokenLength(command.count ?? 0)
            return .null
        case .upstream: return takeRequests()
        case .clouds: return try await startClouds()
        case .spiffe: return try await startSigner()
        case .token:
            return .string(
                try world.cluster.kubernetes.projectedToken(
                    namespace: Self.namespace, pod: command.name ?? "", audience: LabSigner.audience))
        }
    }

    private func node() throws -> JSON {
        let configuration = world.node.directory + "/podidentd.yaml"
        try LabWorld.yaml(world.agentConfiguration).write(toFile: configuration, atomically: true, encoding: .utf8)
        return [
            "network": .string(world.node.network.path),
            "address": .string(LabNode.address),
            "port": .integer(Int64(AgentProcess.port)),
            "directory": .string(world.node.directory),
            "configuration": .string(configuration),
            "pin_directory": .string(world.pinDirectory),
            "admin_socket": .string(world.node.directory + "/admin.sock"),
        ]
    }

    /// Starts the clouds besides Google. The pods' ServiceAccount then names an identity in all three.
    private func startClouds() async throws -> JSON {
        let aws = try await world.startAWS()
        let azure = try await world.startAzure()
        otherTokenServices = [aws.tokenServer, azure.entraServer]
        let clientID = UUID().uuidString.lowercased()
        let annotations = [
            "iam.gke.io/gcp-service-account": Self.googleAccount, AzureLab.clientAnnotation: clientID,
            AzureLab.tenantAnnotation: AzureLab.tenant,
        ]
        azure.addServiceAccount(Self.account, namespace: Self.namespace, clientID: clientID)
        aws.addServiceAccount(Self.account, namespace: Self.namespace, role: Self.role, annotations: annotations)
        let keys = world.agentConfiguration.merging(aws.agentConfiguration) { $1 }
            .merging(azure.agentConfiguration) { $1 }.merging(["clouds": "google, aws, azure"]) { $1 }
        let configuration = world.node.directory + "/podidentd-clouds.yaml"
        try LabWorld.yaml(keys).write(toFile: configuration, atomically: true, encoding: .utf8)
        return ["configuration": .string(configuration), "role": .string(Self.role)]
    }

    /// Starts a signer of the trust domain.
    private func startSigner() async throws -> JSON {
        let signer = try await LabSigner.start(in: world, options: ["--node-rate", "0"])
        self.signer = signer
        let keys = world.agentConfiguration.merging(signer.agentConfiguration.compactMapValues { $0 }) { $1 }
        let configuration = world.node.directory + "/podidentd-spiffe.yaml"
        try LabWorld.yaml(keys).write(toFile: configuration, atomically: true, encoding: .utf8)
        return [
            "configuration": .string(configuration), "port": .integer(Int64(LabSigner.endpointPort)),
            "signer": .string("https://\(LabNode.address):\(signer.port)"),
            "authority": .string(world.cluster.authorityPath), "pid": .integer(Int64(signer.processID)),
        ]
    }

    /// Adds pods, or removes the newest ones.
    private func setPods(count: Int) async throws {
        while pods.count > count { await world.deletePod(pods.removeLast()) }
        while pods.count < count {
            made += 1
            pods.append(
                try await world.addPod("bench-\(made)", namespace: Self.namespace, serviceAccount: Self.account))
        }
    }

    private func description(of pod: RunningPod) -> JSON {
        [
            "name": .string(pod.name),
            "uid": .string(pod.uid),
            "namespace": .string(Self.namespace),
            "service_account": .string(Self.account),
            "google_service_account": .string(Self.googleAccount),
            "cgroup": .string(world.node.cgroupDirectory(pod.containerCgroup)),
            "network": .string(pod.network.path),
        ]
    }

    /// Lets every upstream answer this much later, from the next request on.
    private func setDelay(_ delay: Duration) {
        let cluster = world.cluster
        let google = [cluster.kubernetesServer, cluster.securityTokenServiceServer, cluster.iamCredentialsServer]
        for server in google + otherTokenServices {
            server.faults.clear()
            if delay > .zero { server.faults.inject(.delay(delay)) }
        }
    }

    /// The requests that upstreams have answered since the last call, with when they came and went.
    private func takeRequests() -> JSON {
        let cluster = world.cluster
        var taken: [JSON] = []
        for (name, server) in [
            ("kubernetes", cluster.kubernetesServer), ("sts", cluster.securityTokenServiceServer),
            ("iam", cluster.iamCredentialsServer),
        ] {
            for record in server.requests.events {
                taken.append([
                    "server": .string(name), "method": .string(record.method), "path": .string(record.path),
                    "watch": .bool(record.request.query("watch") == "true"),
                    "begin": Self.microseconds(record.request.received), "end": Self.microseconds(record.time),
                ])
            }
            server.requests.clear()
        }
        return .array(taken)
    }

    /// The microseconds since 1970.
    private static func microseconds(_ date: Date) -> JSON {
        .integer(Int64(date.timeIntervalSince1970 * 1_000_000))
    }
}
