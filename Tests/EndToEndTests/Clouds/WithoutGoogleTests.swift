import AgentTesting
import Foundation
import Lab
import Operations
import Testing

private let clientID = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
private let googlesPaths = ["/", "/computeMetadata/v1/instance/service-accounts/default/token"]

/// Nodes of AWS or of Azure alone: an agent without one of Google's keys.
@Suite(.serialized, .timeLimit(.minutes(5))) struct WithoutGoogleTests {
    /// A cloud that is served alone, and what its pod asks for.
    enum Cloud: String, CaseIterable {
        case aws, azure

        var audience: String {
            switch self {
            case .aws: "sts.amazonaws.com"
            case .azure: "api://AzureADTokenExchange"
            }
        }
    }

    @Test(
        "an agent of one cloud alone needs none of Google's keys, is ready, and serves that cloud",
        arguments: Cloud.allCases)
    func alone(cloud: Cloud) async throws {
        try await withWorld { world in
            let (aws, azure) = (try await world.startAWS(), try await world.startAzure())
            azure.addServiceAccount("cloud", clientID: clientID)
            // A Google service account besides, which no exchange may be made for.
            let google = "g@\(LabWorld.project).iam.gserviceaccount.com"
            aws.addServiceAccount(
                "cloud", role: "reader",
                annotations: [
                    AzureLab.clientAnnotation: clientID, AzureLab.tenantAnnotation: AzureLab.tenant,
                    "iam.gke.io/gcp-service-account": google,
                ])
            let pod = try await world.addPod("pod", serviceAccount: "cloud")
            let configuration = cloud == .aws ? aws.agentConfiguration : azure.agentConfiguration
            var changes: [String: String?] = configuration.merging(["clouds": cloud.rawValue]) { $1 }
            for key in world.agentConfiguration.keys where key.hasPrefix("google.") { changes[key] = .some(nil) }
            let agent = try await world.startAgent(changes)
            try await Self.ask(pod, cloud, aws, azure)
            for path in googlesPaths {
                let answer = try await pod.request("GET", path, ["Metadata-Flavor: Google"])
                #expect(answer.headers["metadata-flavor"] == nil, "\(path)")
                #expect(answer.status == (path == "/" ? (cloud == .aws ? 200 : 404) : 403))
            }
            // The nodes asked for tokens of one audience, the cloud's.
            let audiences = Set(world.cluster.kubernetes.mints.events.flatMap(\.audiences))
            #expect(audiences == [cloud.audience])
            try await Self.judge(world, agent, pod, cloud)
            await agent.stop()
        }
    }

    private static func ask(_ pod: RunningPod, _ cloud: Cloud, _ aws: AWSLab, _ azure: AzureLab) async throws {
        switch cloud {
        case .aws:
            let credentials = try AWSCredentials(
                try await pod.aws("/latest/meta-data/iam/security-credentials/reader"))
            #expect(aws.tokens.credentials(credentials.accessKeyID)?.subject.podUID == pod.uid)
            #expect(azure.issued(to: pod) == [])
        case .azure:
            let query = "?api-version=2018-02-01&resource=https://storage.azure.com"
            let answer = try await pod.request("GET", "/metadata/identity/oauth2/token\(query)", ["Metadata: true"])
            let members = try #require(try? JSONDecoder().decode([String: String].self, from: Data(answer.body.utf8)))
            #expect(azure.entra.describe(members["access_token"] ?? "")?.subject.podUID == pod.uid)
            #expect(aws.issued(to: pod).isEmpty)
        }
    }

    @Test("with three clouds check is healthy, and tries the audience of each")
    func three() async throws {
        try await withWorld { world in
            let (aws, azure) = (try await world.startAWS(), try await world.startAzure())
            aws.addServiceAccount("cloud", role: "reader")
            let agent = try await world.startAgent(
                aws.agentConfiguration.merging(azure.agentConfiguration) { $1 }
                    .merging(["clouds": "google, aws, azure"]) { $1 })
            let pod = try await world.addPod("pod", serviceAccount: "cloud")
            _ = try await pod.aws("/latest/meta-data/iam/security-credentials/reader")
            let checked = try await Self.check(world)
            #expect(checked.status == 0, "\(checked.complaints)")
            let tried = checked.items.filter { $0.id == "credentials.token" }.map(\.found)
            let audiences = Cloud.allCases.map(\.audience) + [world.cluster.configuration.providerName]
            for audience in audiences { #expect(tried.contains { $0.contains(audience) }, "\(audience)") }
            for id in ["google.sts", "aws.sts", "azure.sts"] { #expect(try checked.item(id).state == .ok) }
            await agent.stop()
        }
    }

    private static func check(_ world: LabWorld) async throws -> CheckOutcome {
        try CheckOutcome(
            await Command.run([
                "nsenter", "--net=\(world.node.network.path)", "--", world.binaries + "/podidentd", "check", "--config",
                world.agentConfigurationPath, "--online", "--output", "json",
            ]))
    }

    /// `check` and `explain` speak of the cloud that is served, and not of Google.
    private static func judge(
        _ world: LabWorld, _ agent: AgentProcess, _ pod: RunningPod, _ cloud: Cloud
    ) async throws {
        let checked = try await check(world)
        #expect(checked.status == 0, "\(checked.complaints)")
        #expect(try checked.item("\(cloud.rawValue).sts").state == .ok)
        #expect(try checked.item("credentials.token").found.contains(cloud.audience))
        #expect(!checked.items.contains { $0.id.hasPrefix("google.") })
        let explained = try await Command.run([
            world.binaries + "/podidentd", "debug", "explain", pod.uid, "--socket", agent.adminSocket,
        ])
        #expect(explained.status == 0, "\(explained.output)")
        #expect(explained.output.contains("\(cloud.rawValue) credential"))
        #expect(explained.output.contains("the configuration's 'clouds' lacks google"))
    }
}
