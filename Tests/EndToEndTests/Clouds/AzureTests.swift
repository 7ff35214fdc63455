import AgentTesting
import Foundation
import Lab
import Testing

private let path = "/metadata/identity/oauth2/token"
private let storage = "https://storage.azure.com"
private let clientID = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"

/// Azure's protocol in a world with three clouds, as pods see it.
@Suite(.serialized, .timeLimit(.minutes(10))) struct AzureTests {
    @Test("cloud case 33 cloud case 34 a token, all of its members strings, for the resource as it was asked for")
    func token() async throws {
        try await withAzure { world in
            for (version, resource) in [
                ("2018-02-01", storage), ("2018-02-01", "https%3A%2F%2Fstorage.azure.com"),
                ("2019-08-01", "https%3A%2F%2Fstorage.azure.com%2F"),
            ] {
                let answer = try await world.pod.azure("?api-version=\(version)&resource=\(resource)")
                #expect(answer.status == 200 && answer.headers["content-type"] == "application/json")
                #expect(answer.headers["metadata-flavor"] == nil && answer.headers["cache-control"] == "no-store")
                let members = try answer.members
                let decoded = resource.removingPercentEncoding
                #expect(members["resource"] == decoded && members["client_id"] == clientID)
                #expect(members["token_type"] == "Bearer" && Int(members["expires_in"] ?? "") ?? 0 >= 360)
                let end = try #require(Int(members["expires_on"] ?? ""))
                #expect(abs(end - Int(Date().timeIntervalSince1970) - 3598) < 30)
                let record = try #require(world.azure.entra.describe(members["access_token"] ?? ""))
                #expect(record.subject.podUID == world.pod.uid && record.resource == decoded)
            }
            #expect(world.azure.issued(to: world.pod).count == 2)
            // The scope is the resource as it is, and what the configuration does not name is asked of no server.
            let scopes = world.azure.entraServer.requests.events.map(\.request.bodyText)
            #expect(scopes.contains { $0.contains("scope=https%3A%2F%2Fstorage.azure.com%2F%2F.default") })
            #expect(world.azure.entraServer.requests.events.allSatisfy { $0.method == "POST" })
        }
    }

    @Test("cloud case 35 cloud case 36 probes, spellings and proxies")
    func probes() async throws {
        try await withAzure { world in
            for query in ["", "?api-version=2018-02-01&resource=\(storage)"] {
                let answer = try await world.pod.request("GET", path + query)
                #expect(answer.status == 400 && answer.isJSON)
            }
            let spelled = "/METADATA/Identity/OAuth2/Token?api-version=2018-02-01&resource=\(storage)"
            #expect(try await world.pod.request("GET", spelled, ["Metadata: True"]).status == 200)
            for header in ["X-Forwarded-For: 1.1.1.1", "Via: 1.1 squid", "Forwarded: for=1.1.1.1"] {
                let answer = try await world.pod.azure("?resource=\(storage)", [header])
                #expect(answer.status == 403 && answer.isJSON && answer.body.contains("NO_PROXY"))
            }
        }
    }

    @Test("cloud case 37 cloud case 38 cloud case 40 what is refused, in JSON and without a mint")
    func refused() async throws {
        try await withAzure { world in
            let long = storage + "/" + String(repeating: "a", count: 4096)
            let other = "00000000-bbbb-cccc-dddd-eeeeeeeeeeee"
            for query in [
                "?api-version=2018-02-01", "?resource=", "?resource=\(long)", "?resource=\(storage)&resource=x",
                "?resource=\(storage)&client_id=\(other)", "?resource=\(storage)&object_id=\(clientID)",
                "?resource=\(storage)&mi_res_id=x", "?resource=\(storage)&msi_res_id=x", "?resource=a%20b",
            ] {
                let answer = try await world.pod.azure(query)
                #expect(answer.status == 400 && answer.isJSON, "\(query.prefix(60))")
            }
            for path in ["/metadata/instance", "/metadata/attested/document", "/metadata/versions", "/metadata"] {
                let answer = try await world.pod.request("GET", path, ["Metadata: true"])
                #expect(answer.status == 403 && answer.isJSON)
            }
            #expect(world.azure.issued(to: world.pod) == [])
            let named = "?resource=\(storage)&client_id=\(clientID.uppercased())"
            #expect(try await world.pod.azure(named).status == 200)
        }
    }

    @Test("cloud case 39 cloud case 41 pods without an identity in Azure: 400 in JSON that names the annotation")
    func withoutIdentity() async throws {
        try await withAzure { world in
            for pod in [world.aws, world.nothing] {
                let answer = try await pod.azure("?resource=\(storage)")
                #expect(answer.status == 400 && answer.isJSON && answer.body.contains("Identity not found"))
                #expect(answer.body.contains(AzureLab.clientAnnotation))
            }
        }
    }

    @Test("cloud case 42 cloud case 44 Entra's failures: repeated, with a new token, or told")
    func failures() async throws {
        try await withAzure { world in
            world.azure.entra.fail(with: [(503, 90_061)])
            #expect(try await world.pod.azure("?resource=https://a.example").status == 200)
            world.azure.entra.fail(with: [(401, 700_024)])
            #expect(try await world.pod.azure("?resource=https://b.example").status == 200)
            world.azure.addServiceAccount(
                "stranger", clientID: "bbbbbbbb-bbbb-cccc-dddd-eeeeeeeeeeee", isTrusted: false)
            let stranger = try await world.world.addPod("stranger", serviceAccount: "stranger")
            let refused = try await stranger.azure("?resource=\(storage)")
            #expect(refused.status == 400 && refused.isJSON && refused.body.contains("AADSTS700213"))
            #expect(refused.body.contains("system:serviceaccount:default:stranger"))
            await world.azure.entraServer.takeDown()
            #expect(try await world.pod.azure("?resource=https://a.example").status == 200)
            let unknown = try await world.pod.azure("?resource=https://c.example")
            #expect(unknown.status == 503 && unknown.isJSON && unknown.retryAfter != nil)
            try await world.azure.entraServer.bringUp()
        }
    }

    @Test("cloud case 44 what Entra ID refuses for good is asked for once, and told")
    func finalFailures() async throws {
        try await withAzure { world in
            for (status, code) in [
                (400, 70_021), (401, 700_211), (401, 700_212), (401, 700_213), (400, 700_016), (400, 90_002),
            ] {
                let before = world.azure.entraServer.requests.total
                world.azure.entra.fail(with: [(status, code)])
                let answer = try await world.pod.azure("?resource=https://\(code).example")
                #expect(answer.status == 400 && answer.isJSON, "\(code): \(answer.status)")
                #expect(answer.body.contains("AADSTS\(code)"))
                #expect(world.azure.entraServer.requests.total == before + 1, "\(code)")
            }
        }
    }

    @Test("cloud case 47 one pod of three clouds gets three credentials of its own, and each cloud's own header")
    func together() async throws {
        try await withAzure { world in
            let all = try await world.world.addPod("all", serviceAccount: "all")
            let google = try #require(try await all.ask().token)
            #expect(world.world.cluster.ledger.describe(google.accessToken)?.subject.podUID == all.uid)
            let aws = try AWSCredentials(try await all.aws("/latest/meta-data/iam/security-credentials/all"))
            #expect(world.awsLab.tokens.credentials(aws.accessKeyID)?.subject.podUID == all.uid)
            let azure = try await all.azure("?resource=\(storage)").members["access_token"] ?? ""
            #expect(world.azure.entra.describe(azure)?.subject.podUID == all.uid)
            // A token of one cloud's audience goes to that cloud alone.
            let audiences = world.world.cluster.kubernetes.mints.events.filter { $0.podUID == all.uid }.map(\.audiences)
            #expect(audiences.count == 3 && Set(audiences).count == 3)
            // Azure's header opens neither of the others.
            #expect(try await all.request("GET", tokenPath, ["Metadata: true"]).status == 403)
            let role = "/latest/meta-data/iam/security-credentials/"
            #expect(try await all.request("GET", role, ["Metadata: true"]).status == 401)
        }
    }
}

/// A world with three clouds and an agent that serves them.
private struct AzureWorld {
    let world: LabWorld
    let awsLab: AWSLab
    let azure: AzureLab
    let pod: RunningPod
    let aws: RunningPod
    let nothing: RunningPod
}

private func withAzure(_ body: (AzureWorld) async throws -> Void) async throws {
    try await withWorld { world in
        let awsLab = try await world.startAWS()
        let azure = try await world.startAzure()
        awsLab.addServiceAccount("aws", role: "aws")
        azure.addServiceAccount("azure", clientID: clientID)
        world.addServiceAccount("plain")
        let google = "all@\(LabWorld.project).iam.gserviceaccount.com"
        world.cluster.iamCredentials.allowImpersonation(
            of: google, by: .serviceAccount(namespace: "default", name: "all"))
        azure.addServiceAccount("all", clientID: "cccccccc-bbbb-cccc-dddd-eeeeeeeeeeee")
        awsLab.addServiceAccount(
            "all", role: "all",
            annotations: [
                "iam.gke.io/gcp-service-account": google,
                AzureLab.clientAnnotation: "cccccccc-bbbb-cccc-dddd-eeeeeeeeeeee",
                AzureLab.tenantAnnotation: AzureLab.tenant,
            ])
        var configuration = awsLab.agentConfiguration.merging(azure.agentConfiguration) { $1 }
        configuration["clouds"] = "google, aws, azure"
        let pods = AzureWorld(
            world: world, awsLab: awsLab, azure: azure, pod: try await world.addPod("azure", serviceAccount: "azure"),
            aws: try await world.addPod("aws", serviceAccount: "aws"),
            nothing: try await world.addPod("nothing", serviceAccount: "plain"))
        let agent = try await world.startAgent(configuration)
        do {
            try await body(pods)
        } catch {
            await agent.kill()
            throw error
        }
        await agent.stop()
    }
}

extension RunningPod {
    fileprivate func azure(_ query: String, _ headers: [String] = []) async throws -> MetadataResponse {
        try await request("GET", path + query, ["Metadata: true"] + headers)
    }
}

extension MetadataResponse {
    /// Every member of a JSON object of strings; throws where one is anything else.
    fileprivate var members: [String: String] {
        get throws { try JSONDecoder().decode([String: String].self, from: Data(body.utf8)) }
    }

    fileprivate var isJSON: Bool {
        headers["content-type"] == "application/json" && (try? members["error_description"]) != nil
    }
}
