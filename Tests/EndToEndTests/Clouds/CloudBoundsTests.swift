import AgentTesting
import Foundation
import Lab
import Testing

private let roles = "/latest/meta-data/iam/security-credentials"
private let azureToken = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource="
private let clientID = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"

/// Bounds of the two clouds' protocols: sizes, counts, times, hosts and addresses.
@Suite(.serialized, .timeLimit(.minutes(3))) struct CloudBoundsTests {
    /// Sends PUTs on kept-alive connections, and prints how many were answered with which status.
    private static let puts = """
        import collections, http.client, sys
        count = int(sys.argv[1])
        connection, statuses = None, collections.Counter()
        for number in range(count):
            connection = connection or http.client.HTTPConnection("169.254.169.254", timeout=10)
            connection.request("PUT", "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "21600"})
            answer = connection.getresponse()
            answer.read()
            statuses[answer.status] += 1
            if answer.will_close:
                connection.close()
                connection = None
        print(*(f"{status} {count}" for status, count in sorted(statuses.items())))
        """

    @Test("cloud case 7 ten thousand session tokens of one pod: nothing grows, and another pod is served")
    func manySessionTokens() async throws {
        try await withClouds { clouds in
            let (world, aws, pod) = (clouds.world, clouds.aws, clouds.pod)
            let other = try await world.addPod("other", serviceAccount: "cloud")
            #expect(try await other.aws("\(roles)/reader").status == 200)
            #expect(try await pod.run("python3", "-c", Self.puts, "500").output == "200 500\n")
            let before = try AgentMemory(of: clouds.agent.processIdentifier).resident
            async let load = pod.run("python3", "-c", Self.puts, "10000")
            for _ in 0..<20 { #expect(try await other.aws("\(roles)/reader").status == 200) }
            #expect(try await load.output == "200 10000\n")
            let growth = try AgentMemory(of: clouds.agent.processIdentifier).resident - before
            #expect(growth < 4 << 20, "\(growth) bytes for 10,000 session tokens")
            #expect(aws.issued(to: pod).count == 1 && aws.issued(to: other).count == 1)
        }
    }

    @Test("cloud case 9 with aws.imds-v1: allow the role and the credentials are served without a session token")
    func version1() async throws {
        try await withClouds(["aws.imds-v1": "allow"]) { clouds in
            let (aws, pod) = (clouds.aws, clouds.pod)
            #expect(try await pod.request("GET", "\(roles)/").body == "reader")
            let credentials = try AWSCredentials(try await pod.request("GET", "\(roles)/reader"))
            #expect(aws.tokens.credentials(credentials.accessKeyID)?.subject.podUID == pod.uid)
            // A token that is sent is checked all the same.
            let wrong = try await pod.request("GET", "\(roles)/", ["X-aws-ec2-metadata-token: eA"])
            #expect(wrong.status == 401)
            #expect(try await pod.request("GET", "\(roles)/", ["Via: 1.1 squid"]).status == 403)
        }
    }

    @Test(
        "cloud case 27 a life of credentials that is shorter than SDKs can bear is refused by the configuration",
        arguments: ["900", "3599", "43201", "x"])
    func shortLife(seconds: String) async throws {
        try await withWorld { world in
            let aws = try await world.startAWS()
            let configuration = aws.agentConfiguration.merging(["aws.duration-seconds": seconds]) { $1 }
            let error = await #expect(throws: LabError.self) { _ = try await world.startAgent(configuration) }
            #expect(error?.description.contains("aws.duration-seconds") == true)
        }
    }

    @Test("cloud case 32 the endpoint for containers answers while the cloud does not, with Retry-After on 503")
    func containerLimit() async throws {
        try await withClouds(["aws.container-endpoint": "true"]) { clouds in
            let (aws, pod) = (clouds.aws, clouds.pod)
            aws.tokenServer.faults.inject(.hang)
            let command = ["curl", "-sS", "--include", "--max-time", "60", "-w", "\n%{time_total}"]
            let result = try await pod.start(command + ["http://169.254.170.2/v1/credentials"]).result()
            let answer = try MetadataResponse(curl: result.output)
            #expect(result.succeeded && answer.status == 503 && answer.retryAfter != nil)
            #expect(answer.body.contains(#""code":"ServiceUnavailable""#))
            aws.tokenServer.faults.clear()
            // The mint goes on without its caller; the next try of the client has the credentials.
            var status = 503
            let end = ContinuousClock.now + .seconds(60)
            while status == 503, ContinuousClock.now < end {
                status = try await pod.request("GET", "/v1/credentials", host: .container).status
            }
            #expect(status == 200)
        }
    }

    @Test("cloud case 43 expires_in counts down, and expires_on stays")
    func countdown() async throws {
        try await withClouds { clouds in
            let (azure, pod) = (clouds.azure, clouds.pod)
            func lives() async throws -> (remaining: Int, end: Int) {
                let body = try await pod.request("GET", azureToken + "https://a.example", ["Metadata: true"]).body
                let members = try JSONDecoder().decode([String: String].self, from: Data(body.utf8))
                return (Int(members["expires_in"] ?? "") ?? 0, Int(members["expires_on"] ?? "") ?? 0)
            }
            let first = try await lives()
            var last = first
            let end = ContinuousClock.now + .seconds(60)
            while last.remaining > first.remaining - 2, ContinuousClock.now < end { last = try await lives() }
            #expect(last.remaining <= first.remaining - 2 && abs(last.end - first.end) <= 1)
            #expect(azure.issued(to: pod).count == 1)
        }
    }

    @Test("cloud case 45 the scope is the resource as it was given, with /.default behind it")
    func scopes() async throws {
        try await withClouds { clouds in
            let (azure, pod) = (clouds.azure, clouds.pod)
            for (resource, scope) in [
                ("https://vault.azure.net", "https%3A%2F%2Fvault.azure.net%2F.default"),
                ("https://x/", "https%3A%2F%2Fx%2F%2F.default"),
                (clientID, "\(clientID)%2F.default"),
            ] {
                let answer = try await pod.request("GET", azureToken + resource, ["Metadata: true"])
                #expect(answer.status == 200)
                #expect(azure.entraServer.requests.events.last?.request.bodyText.contains("scope=\(scope)") == true)
            }
        }
    }

    @Test("cloud case 46 a sovereign authority alone is called, whatever a pod asks for, and no discovery page")
    func sovereign() async throws {
        try await withWorld { world in
            let azure = try await world.startAzure()
            azure.addServiceAccount("cloud", clientID: clientID)
            let (sovereign, url) = try await world.cluster.addServer(clock: azure.entra.clock) {
                await azure.entra.handle($0)
            }
            let pod = try await world.addPod("pod", serviceAccount: "cloud")
            let changes = ["clouds": "google, azure", "azure.authority": url]
            let agent = try await world.startAgent(azure.agentConfiguration.merging(changes) { $1 })
            for resource in ["https://storage.azure.com", "https://management.usgovcloudapi.net", "https://x.azure.cn"]
            {
                #expect(
                    try await pod.request("GET", azureToken + resource, ["Metadata: true"]).status == 200)
            }
            #expect(azure.entraServer.requests.total == 0)
            let calls = sovereign.requests.events
            #expect(calls.count == 3)
            #expect(calls.allSatisfy { $0.method == "POST" && $0.path == "/\(AzureLab.tenant)/oauth2/v2.0/token" })
            await agent.stop()
        }
    }

    @Test(
        "cloud case 52 the addresses of containers: redirected where they are served, refused where they are guarded",
        arguments: [true, false])
    func containerAddresses(isServed: Bool) async throws {
        // EKS Pod Identity has them too, and pods are meant to reach it: guarded only where an operator says so.
        let settings = isServed ? ["aws.container-endpoint": "true"] : ["guard.clouds": "aws, aws-containers, azure"]
        try await withClouds(settings) { clouds in
            let world = clouds.world
            // A server of the machine's own, which no pod may reach.
            let addresses = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"]
            for address in addresses {
                let rest = address.contains(":") ? "128 dev lo nodad" : "32 dev lo"
                try await world.node.network.ip("addr replace \(address)/\(rest)")
            }
            let listeners = try addresses.map { try world.node.network.listen(host: $0, port: 80) }
            defer { for listener in listeners { close(listener) } }
            let onHost = try await world.addPod("on-host", serviceAccount: "cloud", isHostNetwork: true)
            for pod in [clouds.pod, onHost] {
                for host in addresses + ["::ffff:169.254.170.2", "::ffff:169.254.170.23"] {
                    let name = host.contains(":") ? "[\(host)]" : host
                    let command = [
                        "curl", "-sS", "--globoff", "--max-time", "60", "-w", "%{http_code}", "-o", "/dev/null", "-H",
                        "Host: \(host.hasPrefix("::ffff:") ? "169.254.170.23" : name)",
                        "http://\(name)/v1/credentials",
                    ]
                    let result = try await pod.start(command).result()
                    #expect(result.output == (isServed ? "200" : "000"), "\(host) by \(pod.name)")
                    // curl's own number for a connection that is refused; a server that is silent would be another.
                    #expect(result.status == (isServed ? 0 : 7), "\(host) by \(pod.name)")
                }
            }
            // By a process that is no pod's they can be reached.
            let connect = "import socket; socket.create_connection((\"169.254.170.2\", 80), 2)"
            try await Command.require(["nsenter", "--net=\(world.node.network.path)", "--", "python3", "-c", connect])
        }
    }
}

/// A world with AWS and Azure, an agent that serves both, and a pod that has an identity in both.
private struct Clouds {
    let world: LabWorld
    let aws: AWSLab
    let azure: AzureLab
    let pod: RunningPod
    let agent: AgentProcess
}

private func withClouds(
    _ changes: [String: String] = [:], _ body: (Clouds) async throws -> Void
) async throws {
    try await withWorld { world in
        let aws = try await world.startAWS()
        let azure = try await world.startAzure()
        azure.addServiceAccount("cloud", clientID: clientID)
        aws.addServiceAccount(
            "cloud", role: "reader",
            annotations: [AzureLab.clientAnnotation: clientID, AzureLab.tenantAnnotation: AzureLab.tenant])
        let pod = try await world.addPod("pod", serviceAccount: "cloud")
        let names = ["clouds": "google, aws, azure"]
        let agent = try await world.startAgent(
            aws.agentConfiguration.merging(azure.agentConfiguration) { $1 }.merging(names) { $1 }
                .merging(changes) { $1 })
        do {
            try await body(Clouds(world: world, aws: aws, azure: azure, pod: pod, agent: agent))
        } catch {
            await agent.kill()
            throw error
        }
        await agent.stop()
    }
}
