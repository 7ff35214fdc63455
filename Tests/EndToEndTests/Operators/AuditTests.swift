import AgentTesting
import Foundation
import Lab
import MetricsTesting
import Testing

/// The audit stream says who got what, by the schema that docs/operate/audit.md documents.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct AuditTests {
    private static let account = "app@lab-project.iam.gserviceaccount.com"

    @Test("every mint and every denial is one line of the documented schema, without a token")
    func schema() async throws {
        try await withWorld { world in
            let path = world.node.directory + "/audit.log"
            let agent = try await world.startAgent(["audit.path": path])
            world.addServiceAccount("app", impersonating: Self.account)
            world.addServiceAccount("plain")
            world.cluster.kubernetes.createServiceAccount(
                namespace: "default", name: "denied", annotations: ["iam.gke.io/gcp-service-account": Self.account])
            let pod = try await world.addPod("a", serviceAccount: "app")
            let plain = try await world.addPod("b", serviceAccount: "plain")
            let denied = try await world.addPod("c", serviceAccount: "denied")
            let token = try await pod.token()
            _ = try await pod.ask(accountPath + "identity?audience=https://example.com")
            _ = try await plain.ask(tokenPath + "?scopes=https://www.googleapis.com/auth/devstorage.read_only")
            _ = try await denied.ask()
            for _ in 0..<5 { _ = try await plain.run("curl", "-s", "http://169.254.169.254\(tokenPath)") }
            await agent.stop()

            let text = try String(contentsOfFile: path, encoding: .utf8)
            let lines = try text.split(separator: "\n").map { try JSON(parsing: $0.utf8) }
            #expect(lines.count >= 6)
            try Self.check(lines, against: try Schema(repositoryFile("docs/operate/audit.md")))
            #expect(!text.contains(token.accessToken))

            let mint = try #require(lines.first { $0["kind"]?.string == "access_token" && $0["pod"]?.string == "a" })
            #expect(mint["event"]?.string == "mint" && mint["result"]?.string == "minted")
            #expect(mint["podUid"]?.string == pod.uid)
            #expect(mint["containerId"]?.string == pod.containerID)
            #expect(mint["targetAccount"]?.string == Self.account)
            #expect(mint["tokenId"]?.string?.count == 16)
            let identity = try #require(lines.first { $0["kind"]?.string == "identity_token" })
            #expect(identity["audience"]?.string == "https://example.com")
            let narrow = try #require(lines.first { $0["pod"]?.string == "b" && $0["event"]?.string == "mint" })
            #expect(narrow["scopes"]?.strings == ["https://www.googleapis.com/auth/devstorage.read_only"])
            #expect(narrow["targetAccount"] == nil)
            let refusal = try #require(
                lines.first { $0["pod"]?.string == "c" && $0["result"]?.string == "denied" })
            #expect(refusal["upstream"]?.string == "iam" && refusal["reason"]?.string == "denied")
            // Five refusals of one kind: the first at once, the others in one line.
            let flavors = lines.filter { $0["reason"]?.string == "missing_flavor" }
            #expect(flavors.map { $0["count"]?.integer } == [1, 4])
            #expect(flavors.allSatisfy { $0["podUid"]?.string == plain.uid })
        }
    }

    @Test(
        "4: lines of a pod token and of a JWT-SVID name node, zone, container and the listed labels; a rule on a label keeps another pod of the ServiceAccount out"
    )
    func attributes() async throws {
        try await withWorld { world in
            world.cluster.kubernetes.updateNode(LabWorld.nodeName) {
                $0.labels["topology.kubernetes.io/zone"] = "zone-a"
            }
            let signer = try await LabSigner.start(in: world)
            let path = world.node.directory + "/audit.log"
            var configuration = signer.agentConfiguration
            configuration["audit.path"] = path
            // The Node object's zone, and not the lab's.
            configuration["instance.zone"] = .some(nil)
            configuration["audit.labels"] = "tier, app.kubernetes.io/name"
            configuration["policies"] = "[{policy: deny, labels: tier=batch}]"
            configuration["kubernetes.pod-token-audiences"] = "vault"
            world.cluster.kubernetes.allowAudience("vault")
            let agent = try await world.startAgent(configuration)
            try await world.ending(agent, signer) {
                try await agent.log.first(within: .seconds(60)) { $0.contains("node read") }
                world.addServiceAccount("shop")
                let labels = ["tier": "frontend", "app.kubernetes.io/name": "shop", "password": "not-audited"]
                let front = try await world.addPod("front", serviceAccount: "shop", labels: labels)
                let batch = try await world.addPod("batch", serviceAccount: "shop", labels: ["tier": "batch"])
                #expect(try await front.curl("/podidentd/v1/token?audience=vault").status == 200)
                #expect(try await front.spiffe("jwt", "vault")["id"]?.string == LabSigner.id("default", "shop"))
                #expect(try await world.workload(batch).messages.isEmpty)
                await agent.stop()
                let text = try String(contentsOfFile: path, encoding: .utf8)
                let lines = try text.split(separator: "\n").map { try JSON(parsing: $0.utf8) }
                try Self.check(lines, against: try Schema(repositoryFile("docs/operate/audit.md")))
                for kind in ["pod_token", "jwt_svid"] {
                    let line = try #require(lines.first { $0["kind"]?.string == kind }, "\(kind)")
                    #expect(line["node"]?.string == LabWorld.nodeName && line["zone"]?.string == "zone-a")
                    #expect(line["pod"]?.string == "front" && line["containerId"]?.string == front.containerID)
                    let audited = line["labels"]?.members?.map { "\($0.name)=\($0.value.string ?? "")" }
                    #expect(audited == ["app.kubernetes.io/name=shop", "tier=frontend"])
                }
                #expect(!text.contains("not-audited"))
            }
        }
    }

    @Test("mints and denials of AWS and Azure are lines of the same schema, and no line, log or view has their secrets")
    func clouds() async throws {
        try await withWorld { world in
            let (aws, azure) = (try await world.startAWS(), try await world.startAzure())
            let (client, resource) = ("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "https://storage.azure.com")
            azure.addServiceAccount("cloud", clientID: client)
            aws.addServiceAccount(
                "cloud", role: "reader",
                annotations: [AzureLab.clientAnnotation: client, AzureLab.tenantAnnotation: AzureLab.tenant])
            aws.addServiceAccount("stranger", role: "admin", isTrusted: false)
            let path = world.node.directory + "/audit.log"
            let agent = try await world.startAgent(
                aws.agentConfiguration.merging(azure.agentConfiguration) { $1 }
                    .merging(["clouds": "google, aws, azure", "audit.path": path, "log.level": "trace"]) { $1 })
            let pod = try await world.addPod("a", serviceAccount: "cloud")
            let stranger = try await world.addPod("c", serviceAccount: "stranger")
            let roles = "/latest/meta-data/iam/security-credentials"
            let session = try await pod.sessionToken()
            let credentials = try AWSCredentials(
                try await pod.request("GET", "\(roles)/reader", ["X-aws-ec2-metadata-token: \(session)"]))
            let answer = try await pod.request(
                "GET", "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=\(resource)",
                ["Metadata: true"])
            let token = try #require(try JSON(parsing: answer.body.utf8)["access_token"]?.string)
            let refused = try await stranger.aws("\(roles)/admin")
            #expect(refused.status == 401)
            let view = try await Command.require(
                [world.binaries + "/podidentd", "debug", "tokens", "--socket", agent.adminSocket])
            let said = await agent.stop()

            let text = try String(contentsOfFile: path, encoding: .utf8)
            let lines = try text.split(separator: "\n").map { try JSON(parsing: $0.utf8) }
            try Self.check(lines, against: try Schema(repositoryFile("docs/operate/audit.md")))
            let mints = lines.filter { $0["podUid"]?.string == pod.uid && $0["kind"]?.string == "cloud_credential" }
            #expect(mints.map { $0["result"]?.string } == ["minted", "minted"])
            #expect(mints.map { $0["audience"]?.string } == [nil, resource])
            #expect(
                mints.map { $0["targetAccount"]?.string } == [AWSLab.role("reader"), "\(client)@\(AzureLab.tenant)"])
            #expect(mints.allSatisfy { $0["tokenId"]?.string?.count == 16 })
            let denial = try #require(
                lines.first { $0["podUid"]?.string == stranger.uid && $0["event"]?.string == "mint" })
            #expect(denial["result"]?.string == "denied" && denial["upstream"]?.string == "aws")
            #expect(denial["message"]?.string?.contains("AccessDenied") == true)

            let sent = (aws.tokenServer.requests.events + azure.entraServer.requests.events)
                .flatMap { FormEncoding.decode($0.request.bodyText) }
                .filter { ["WebIdentityToken", "client_assertion"].contains($0.name) }.map(\.value)
            #expect(sent.count == 3)
            // By their ends: half a secret in a log is as bad as all of it.
            let secrets = (sent + [credentials.secretAccessKey, credentials.token, token, session])
                .map { $0.suffix(20) }
            for place in [text, said.output, said.errorOutput, view, refused.body] {
                #expect(!secrets.contains { place.contains($0) })
            }
            #expect(said.errorOutput.contains("token minted"))
        }
    }

    @Test("a rotated file is opened again, by its name or at SIGHUP, and the agent goes on")
    func rotation() async throws {
        try await withWorld { world in
            let path = world.node.directory + "/audit.log"
            let agent = try await world.startAgent(["audit.path": path])
            world.addServiceAccount("app")
            let first = try await world.addPod("a", serviceAccount: "app")
            let second = try await world.addPod("b", serviceAccount: "app")
            _ = try await first.token()
            try FileManager.default.moveItem(atPath: path, toPath: path + ".1")
            kill(agent.processIdentifier, SIGHUP)
            _ = try await second.token()
            await agent.stop()
            #expect(try String(contentsOfFile: path + ".1", encoding: .utf8).contains(first.uid))
            let rest = try String(contentsOfFile: path, encoding: .utf8)
            #expect(rest.contains(second.uid) && !rest.contains(first.uid))
        }
    }

    @Test("a full disk costs lines, which are counted, and no answer")
    func fullDisk() async throws {
        try await withAgent(["audit.path": "/dev/full"]) { world, agent in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app")
            _ = try await pod.token()
            try await agent.log.first { $0.contains("audit lines are being lost") }
            let scrape = try await world.scrape()
            #expect(scrape.value("podidentd_audit_lines_total", ["result": "lost"]) == 1)
            #expect(scrape.value("podidentd_audit_lines_total", ["result": "written"]) == 0)
        }
    }

    /// The table of the documentation: which field has which type, and in which events it must be there.
    private struct Schema {
        var fields: [String: (type: String, always: Set<String>)] = [:]

        init(_ text: String) throws {
            for line in text.split(separator: "\n") where line.hasPrefix("| `") {
                let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
                guard cells.count == 4 else { throw LabError("a strange row: \(line)") }
                let always = cells[2] == "always" ? "mint, refusal, lost" : cells[2]
                fields[cells[0].replacing("`", with: "")] = (
                    cells[1], Set(always.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) })
                )
            }
        }
    }

    private static func check(_ lines: [JSON], against schema: Schema) throws {
        #expect(schema.fields.count > 15)
        for line in lines {
            let members = try #require(line.members)
            let event = try #require(line["event"]?.string)
            for member in members {
                let type = try #require(schema.fields[member.name]?.type, "\(member.name) is not documented")
                switch type {
                case "string": #expect(member.value.string != nil, "\(member.name)")
                case "integer": #expect(member.value.integer != nil, "\(member.name)")
                case "list of strings": #expect(member.value.strings != nil, "\(member.name)")
                case "object of strings":
                    #expect(member.value.members?.allSatisfy { $0.value.string != nil } == true, "\(member.name)")
                default: Issue.record("no type: \(type)")
                }
            }
            let names = Set(members.map(\.name))
            #expect(names.count == members.count)
            for (name, field) in schema.fields where field.always.contains(event) {
                #expect(names.contains(name), "\(name) is missing in \(line.text)")
            }
            #expect(line["version"]?.integer == 1)
        }
    }
}
