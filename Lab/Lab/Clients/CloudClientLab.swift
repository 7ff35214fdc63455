import Foundation

/// A world with an agent that serves three clouds, in which real clients run one after the other.
package struct CloudClientLab: Sendable {
    private let world: LabWorld
    private let agent: AgentProcess
    private let programs: ClientPrograms
    private let aws: AWSLab
    private let azure: AzureLab
    private let azureStorageURL: String

    private static let namespace = "clients"
    private static let secondsMax = 60

    /// Makes everything, runs `body`, and takes everything down whatever happens.
    package static func run(
        keys: LabCluster.Keys, _ body: @Sendable (CloudClientLab) async throws -> Void
    ) async throws {
        let world = try await LabWorld.start(keys: keys)
        do {
            let aws = try await world.startAWS()
            aws.addServiceAccount("aws", namespace: namespace, role: "reader")
            let (azure, azureStorageURL) = try await world.startAzure()
            azure.addServiceAccount("azure", namespace: namespace, clientID: UUID().uuidString.lowercased())
            let programs = try ClientPrograms(above: world.binaries)
            var configuration = aws.agentConfiguration.merging(azure.agentConfiguration) { $1 }
            configuration["clouds"] = "google, aws, azure"
            let agent = try await world.startAgent(configuration)
            try await body(
                CloudClientLab(
                    world: world, agent: agent, programs: programs, aws: aws, azure: azure,
                    azureStorageURL: azureStorageURL))
            await agent.stop()
        } catch {
            await world.stop()
            throw error
        }
        await world.stop()
    }

    /// Runs a client in a pod of its own, and judges it.
    package func run(_ client: CloudClient) async throws -> CloudClientReport {
        let pod = try await world.addPod(
            "client-\(UInt32.random(in: 0...UInt32.max))", namespace: Self.namespace,
            serviceAccount: client.cloud.rawValue)
        let home = "\(world.node.directory)/\(pod.name)"
        try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
        let (callersBefore, before) = (callers(client).count, try await agent.answers(by: world.binaries))
        let result = try await pod.start(command(client, home: home)).result()
        let grown = try await agent.answers(by: world.binaries).growth(since: before)
        var report = CloudClientReport(client: client, requests: grown)
        report.judge(
            result, Array(callers(client).dropFirst(callersBefore)), issued: issued(client, pod), pod: pod.uid)
        if (world.cluster.trap?.connections ?? 0) > 0 { report.problems.append("the machine's own server was reached") }
        await world.deletePod(pod)
        try? FileManager.default.removeItem(atPath: home)
        return report
    }

    /// The UIDs of the pods whose credentials the client's storage accepted, in order.
    private func callers(_ client: CloudClient) -> [String] {
        switch client.cloud {
        case .aws: aws.storage.callers.events.map(\.subject.podUID)
        case .azure: azure.callers.events.map(\.subject.podUID)
        }
    }

    /// The names of the credentials that were issued to the pod.
    private func issued(_ client: CloudClient, _ pod: RunningPod) -> [String] {
        switch client.cloud {
        case .aws: aws.issued(to: pod).map(\.accessKeyID)
        case .azure: azure.issued(to: pod).map(\.clientID)
        }
    }

    /// A clean environment: nothing of the machine's own accounts, proxies or configuration, and nothing that names a
    /// credential or where to get one.
    private func command(_ client: CloudClient, home: String) -> [String] {
        let environment = [
            "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin", "HOME": home, "LANG": "C.UTF-8",
            "STORAGE_ENDPOINT": client.cloud == .aws ? aws.storageURL : azureStorageURL,
            "STORAGE_BUCKET": S3Emulator.bucket,
        ]
        return ["env", "-i"] + environment.map { "\($0)=\($1)" }.sorted()
            + ["timeout", "-k", "2", "\(Self.secondsMax)"] + programs.command(client.program)
    }
}

/// The outcome of one client's run.
package struct CloudClientReport: Sendable {
    package let client: CloudClient
    /// By the agent's counters.
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
        if issued.count != 1 { problems.append("the token service issued credentials \(issued.count) times") }
        if callers.isEmpty { problems.append("the storage saw no credential") }
        problems += callers.filter { $0 != pod }.map { "the storage saw the pod \($0)" }
        let routes = Set(requests.keys)
        if routes != client.routes {
            problems.append("it asked \(routes.sorted()), not \(client.routes.sorted())")
        }
    }
}

extension AgentProcess {
    /// The agent's counters of answers, by `CLASS.STATUS`.
    func answers(by binaries: String) async throws -> [String: UInt64] {
        let status = try await Command.require([binaries + "/podidentd", "debug", "status", "--socket", adminSocket])
        let prefix = "answers."
        let members = try JSON(parsing: status.utf8)["requests"]?.members ?? []
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
