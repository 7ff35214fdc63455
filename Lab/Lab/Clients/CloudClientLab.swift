import Foundation
import Synchronization

/// A world with an agent that serves three clouds, in which real clients run one after the other.
package final class CloudClientLab: Sendable {
    private let world: LabWorld
    private let programs: ClientPrograms
    private let aws: AWSLab
    private let azure: AzureLab
    /// The agent, and whether it serves version 1 of AWS's instance metadata service.
    private let current: Mutex<(agent: AgentProcess, servesVersion1: Bool)>

    private static let namespace = "clients"
    private static let secondsMax = 60

    /// Makes everything, runs `body`, and takes everything down whatever happens.
    package static func run(
        keys: LabCluster.Keys, _ body: @Sendable (CloudClientLab) async throws -> Void
    ) async throws {
        try await LabWorld.with(keys: keys) { world in
            let aws = try await world.startAWS()
            aws.addServiceAccount("aws", namespace: namespace, role: "reader")
            let azure = try await world.startAzure()
            azure.addServiceAccount("azure", namespace: namespace, clientID: UUID().uuidString.lowercased())
            let programs = try ClientPrograms(above: world.binaries)
            let agent = try await world.startAgent(configuration(aws, azure))
            let lab = CloudClientLab(world: world, agent: agent, programs: programs, aws: aws, azure: azure)
            try await body(lab)
            await lab.agent.stop()
        }
    }

    private init(world: LabWorld, agent: AgentProcess, programs: ClientPrograms, aws: AWSLab, azure: AzureLab) {
        self.world = world
        self.programs = programs
        self.aws = aws
        self.azure = azure
        current = Mutex((agent, false))
    }

    private var agent: AgentProcess { current.withLock { $0.agent } }

    private static func configuration(_ aws: AWSLab, _ azure: AzureLab) -> [String: String] {
        aws.agentConfiguration.merging(azure.agentConfiguration) { $1 }.merging(["clouds": "google, aws, azure"]) { $1 }
    }

    /// Starts the agent again where the client needs another configuration.
    private func serve(_ client: CloudClient) async throws {
        let (agent, servesVersion1) = current.withLock { $0 }
        guard servesVersion1 != client.needsVersion1 else { return }
        await agent.stop()
        let changes = ["aws.imds-v1": client.needsVersion1 ? "allow" : "refuse"]
        let next = try await world.startAgent(Self.configuration(aws, azure).merging(changes) { $1 })
        current.withLock { $0 = (next, client.needsVersion1) }
    }

    /// Runs a client in a pod of its own, and judges it.
    package func run(_ client: CloudClient) async throws -> CloudClientReport {
        try await serve(client)
        let before = callers(client).count
        let (pod, result, requests) = try await execute(client, as: client.cloud.rawValue)
        var report = CloudClientReport(client: client, requests: requests)
        report.judge(result, Array(callers(client).dropFirst(before)), issued: issued(client, pod), pod: pod.uid)
        if (world.cluster.trap?.connections ?? 0) > 0 { report.problems.append("the machine's own server was reached") }
        return report
    }

    /// Runs a client in a pod that has an identity of Google's alone. Returns what it asked, and the number of tokens
    /// minted for it.
    package func runInGooglesPod(
        _ client: CloudClient
    ) async throws -> (result: CommandResult, requests: [String: UInt64], mints: Int) {
        world.cluster.kubernetes.createServiceAccount(namespace: Self.namespace, name: "google")
        let (pod, result, requests) = try await execute(client, as: "google")
        return (result, requests, world.cluster.kubernetes.mints.events.count { $0.podUID == pod.uid })
    }

    private func execute(
        _ client: CloudClient, as serviceAccount: String
    ) async throws -> (pod: RunningPod, result: CommandResult, requests: [String: UInt64]) {
        let pod = try await world.addPod(
            "client-\(UInt32.random(in: 0...UInt32.max))", namespace: Self.namespace, serviceAccount: serviceAccount)
        let home = "\(world.node.directory)/\(pod.name)"
        let files = try ClientLab.write(hosts, to: home)
        let before = try await agent.answers()
        let result = try await Command.run(pod.commandLine(command(client, home: home), files: files))
        let grown = try await agent.answers().growth(since: before)
        await world.deletePod(pod)
        try? FileManager.default.removeItem(atPath: home)
        return (pod, result, grown)
    }

    /// The UIDs of the pods whose credentials the client's storage accepted, in order.
    private func callers(_ client: CloudClient) -> [String] {
        switch client.cloud {
        case .aws: aws.storage.callers.events.map(\.subject.podUID)
        case .azure: azure.storage.callers.events.map(\.subject.podUID)
        }
    }

    /// The names of the credentials that were issued to the pod.
    private func issued(_ client: CloudClient, _ pod: RunningPod) -> [String] {
        switch client.cloud {
        case .aws: aws.issued(to: pod).map(\.accessKeyID)
        case .azure: azure.issued(to: pod).map(\.clientID)
        }
    }

    /// The names under which command-line tools look for Azure.
    private var hosts: [String: String] {
        [
            "/etc/hosts":
                "127.0.0.1 localhost\n\(LabNode.address) \(BlobStorageEmulator.host) \(AzureLab.managementHost)\n"
        ]
    }

    /// A clean environment: nothing of the machine's own accounts, proxies or configuration, and nothing that names a
    /// credential or where to get one.
    private func command(_ client: CloudClient, home: String) -> [String] {
        var environment = [
            "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin", "HOME": home, "LANG": "C.UTF-8",
            "STORAGE_BUCKET": S3Emulator.bucket,
        ]
        switch client.cloud {
        case .aws: environment["STORAGE_ENDPOINT"] = aws.storageURL
        case .azure:
            let account = BlobStorageEmulator.account
            let authority = world.cluster.authorityPath
            environment.merge([
                "STORAGE_ENDPOINT": "https://\(LabNode.address):\(azure.storagePort)/\(account)",
                "STORAGE_ACCOUNT": account, "STORAGE_HOST": "\(BlobStorageEmulator.host):\(azure.storagePort)",
                "STORAGE_DOMAIN": "\(BlobStorageEmulator.domain):\(azure.storagePort)",
                "SSL_CERT_FILE": authority, "REQUESTS_CA_BUNDLE": authority,
            ]) { $1 }
        }
        return ["env", "-i"] + environment.map { "\($0)=\($1)" }.sorted()
            + ["timeout", "-k", "2", "\(Self.secondsMax)"] + programs.command(client.program)
    }
}

/// The outcome of one client's run.
package struct CloudClientReport: Sendable {
    package let client: CloudClient
    /// The requests by the agent's counters.
    package let requests: [String: UInt64]
    package var version = ""
    /// Everything that is not as it must be; empty: the client got its own pod's credential.
    package var problems: [String] = []

    package init(client: CloudClient, requests: [String: UInt64]) {
        self.client = client
        self.requests = requests
    }

    mutating func judge(
        _ result: CommandResult, _ callers: [String], issued: [String], pod: String
    ) {
        if !result.succeeded {
            let words = result.errorOutput.split(separator: "\n").suffix(3).joined(separator: " / ")
            problems.append("it ended with status \(result.status): \(words)")
        }
        do throws(LabError) {
            let findings = try Finding.parse(result.output)
            version = findings.first { $0.name == .version }?.value ?? ""
            let missing = client.finds.subtracting(findings.map(\.name))
            problems += missing.map(\.rawValue).sorted().map { "it learned no \($0)" }
            for finding in findings {
                let expected: String? =
                    switch finding.name {
                    case .listing: S3Emulator.objectName
                    case .object: S3Emulator.content
                    case .credential: issued.first ?? ""
                    default: nil
                    }
                if let expected, expected != finding.value {
                    problems.append("its \(finding.name.rawValue) is '\(finding.value)', not '\(expected)'")
                }
            }
        } catch {
            problems.append(error.description)
        }
        if issued.count != client.exchanges {
            problems.append("the token service issued credentials \(issued.count) times, not \(client.exchanges)")
        }
        if callers.isEmpty { problems.append("the storage saw no credential") }
        problems += callers.filter { $0 != pod }.map { "the storage saw the pod \($0)" }
        for name in Set(requests.keys).union(client.requests.keys).sorted() {
            let expected = client.requests[name] ?? 0...0
            let count = requests[name] ?? 0
            if !expected.contains(count) { problems.append("\(name): \(count) requests, not \(expected)") }
        }
    }
}

extension AgentProcess {
    /// The agent's counters of answers, by `CLASS.STATUS`.
    func answers() async throws -> [String: UInt64] {
        let prefix = "answers."
        let members = try JSON(parsing: await view("/debug/status"))["requests"]?.members ?? []
        return Dictionary(
            members.filter { $0.name.hasPrefix(prefix) }.map { member in
                (String(member.name.dropFirst(prefix.count)), UInt64(member.value.integer ?? 0))
            },
            uniquingKeysWith: +
        )
    }
}

extension [String: UInt64] {
    /// Returns by how much each counter rose, without those that did not.
    func growth(since before: [String: UInt64]) -> [String: UInt64] {
        reduce(into: [:]) { growth, counter in
            let difference = counter.value - (before[counter.key] ?? 0)
            if difference > 0 { growth[counter.key] = difference }
        }
    }
}
