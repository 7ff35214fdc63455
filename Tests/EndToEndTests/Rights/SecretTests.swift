import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// Everything that an agent says during a full run at its most talkative holds no secret.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct SecretTests {
    private static let vault = "https://vault.example"

    @Test("no token, JWT or key is in a log, a view, a refusal, an argument or a file")
    func secrets() async throws {
        let changes = ["log.level": Optional("trace"), "kubernetes.pod-token-audiences": Self.vault]
        try await withWorld { world in
            let agent = try await world.startAgent(changes)
            var evidence = Evidence()
            do {
                try await Self.run(world, agent, &evidence)
            } catch {
                await agent.kill()
                throw error
            }
            let result = await agent.stop()
            evidence.outputs["standard output"] = result.output
            evidence.outputs["standard error"] = result.errorOutput
            try evidence.addFiles(of: world)

            // The audit lines are there, so the log was really read.
            #expect(result.errorOutput.contains("token minted") && result.errorOutput.contains("no token"))
            let secrets = try Self.secrets(of: world, evidence)
            // Two federated tokens, one access token, two identity tokens, their JWTs, one pod token, and the key.
            #expect(secrets.count >= 8, "\(secrets.count)")
            for (name, text) in evidence.outputs {
                #expect(!secrets.contains { text.contains($0) }, "\(name) holds a secret")
            }
            // The same search does find what a pod was given.
            let answers = evidence.granted.values.joined()
            #expect(secrets.count { answers.contains($0) } >= 4)
        }
    }

    private struct Evidence {
        /// Outputs that must hold no secret, by their kind.
        var outputs: [String: String] = [:]
        /// The secrets that pods were given.
        var granted: [String: String] = [:]

        mutating func addFiles(of world: LabWorld) throws {
            for directory in [world.node.directory] {
                let paths = FileManager.default.enumerator(atPath: directory)?.compactMap { $0 as? String } ?? []
                // The lab's own files, and kernel objects.
                for path in paths where !path.hasPrefix("kubelet/") && !path.hasPrefix("bpf/") {
                    guard let data = FileManager.default.contents(atPath: "\(directory)/\(path)") else { continue }
                    outputs["file \(path)"] = String(decoding: data, as: UTF8.self)
                }
            }
        }
    }

    private static func run(_ world: LabWorld, _ agent: AgentProcess, _ evidence: inout Evidence) async throws {
        let email = "web@lab-project.iam.gserviceaccount.com"
        world.addServiceAccount("plain")
        world.addServiceAccount("web", impersonating: email)
        world.cluster.kubernetes.createServiceAccount(
            namespace: "default", name: "unbound",
            annotations: ["iam.gke.io/gcp-service-account": "other@lab-project.iam.gserviceaccount.com"])
        world.cluster.kubernetes.allowAudience(vault)
        let plain = try await world.addPod("plain", serviceAccount: "plain", isHostNetwork: true)
        let web = try await world.addPod("web", serviceAccount: "web", isHostNetwork: true)
        let unbound = try await world.addPod("unbound", serviceAccount: "unbound", isHostNetwork: true)

        for (name, pod, path) in [
            ("federated", plain, tokenPath), ("access", web, tokenPath),
            ("pod", plain, "/podidentd/v1/token?audience=" + vault),
            ("identity", web, accountPath + "identity?audience=https://relying.example&format=full"),
        ] {
            let answer = try await pod.ask(path)
            #expect(answer.status == 200, "\(name): \(answer.body)")
            evidence.granted[name] = answer.body
        }
        // A token service that quotes what it was sent.
        let quoted = try #require(Self.subjectTokens(of: world).first)
        world.cluster.securityTokenServiceServer.faults.inject(
            .status(400, body: #"{"error":"invalid_grant","error_description":"\#(quoted) is not valid"}"#))
        let quoting = try await plain.ask(tokenPath + "?scopes=https://www.googleapis.com/auth/other")
        #expect(quoting.status >= 400 && quoting.body.contains("is not valid"), "\(quoting.body)")
        evidence.outputs["refusal: quoting upstream"] = quoting.body
        world.cluster.securityTokenServiceServer.faults.clear()
        for (name, pod, path) in [
            ("unbound account", unbound, tokenPath),
            ("other account", web, "/computeMetadata/v1/instance/service-accounts/x@y/token"),
            ("other audience", plain, "/podidentd/v1/token?audience=https://other.example"),
            ("no audience", web, accountPath + "identity"), ("no such path", web, "/computeMetadata/v1/secret"),
        ] {
            let answer = try await pod.ask(path)
            #expect(answer.status >= 400, "\(name): \(answer.status)")
            evidence.outputs["refusal: \(name)"] = answer.body
        }
        for path in [
            "/computeMetadata/v1/instance/service-accounts/?recursive=true", "/computeMetadata/v1/?recursive=true",
        ] {
            evidence.outputs["listing \(path)"] = try await web.ask(path).body
        }
        for view in [["cgroups"], ["cgroups", "--output", "json"], ["status"]] {
            evidence.outputs["debug \(view)"] = try await Command.require(
                [world.binaries + "/podidentd", "debug"] + view + ["--socket", agent.adminSocket])
        }
        let arguments = FileManager.default.contents(atPath: "/proc/\(agent.processIdentifier)/cmdline")
        evidence.outputs["command line"] = String(decoding: arguments ?? Data(), as: UTF8.self)
    }

    /// Each secret by a part of it that nothing else has: half of one in a log is as bad as all of it.
    private static func secrets(of world: LabWorld, _ evidence: Evidence) throws -> [String] {
        let tokens = Array(world.cluster.ledger.all.keys) + subjectTokens(of: world) + [evidence.granted["pod"] ?? ""]
        let key = try String(
            contentsOfFile: world.cluster.kubelet.currentCertificatePath, encoding: .utf8
        ).split(separator: "\n").drop { !$0.contains("PRIVATE KEY") }
        let keyLine = try #require(key.dropFirst().first { $0.count > 20 }).dropFirst(4)
        return tokens.map { token in
            // The end stands for each: a JWT's signature, an opaque token's last characters.
            String(token.suffix(20))
        } + [String(keyLine.suffix(24))]
    }

    private static func subjectTokens(of world: LabWorld) -> [String] {
        world.cluster.securityTokenServiceServer.requests.events.compactMap { record in
            FormEncoding.decode(record.request.bodyText).first { $0.name == "subject_token" }?.value
        }
    }
}
