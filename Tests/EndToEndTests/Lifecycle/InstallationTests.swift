import AgentTesting
import Foundation
import Lab
import Testing

/// The rendered manifests grant what the agent needs: their roles and bindings, given to the emulated API server.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct InstallationTests {
    @Test("the rule of the rendered manifest is needed and is enough: without it 403 and the fix, with it a token")
    func audienceRule() async throws {
        let objects = try await Manifest.objects("site")
        let providers = objects.compactMap { object in object["data"]?["PODIDENTD_GOOGLE_PROVIDER"]?.string }
        let provider = try #require(providers.first)
        try await withAgent(configure: { $0.providerName = provider }) { world, _ in
            let kubernetes = world.cluster.kubernetes
            kubernetes.revokeAudience()
            world.addServiceAccount("app")
            let before = try await world.addPod("before", serviceAccount: "app", isHostNetwork: true).ask()
            #expect(before.status == 403)
            for words in ["request-serviceaccounts-token-audience", provider, "system:nodes"] {
                #expect(before.body.contains(words), "\(words)")
            }
            #expect(kubernetes.mints.total == 0)

            try kubernetes.apply(objects)
            let pod = try await world.addPod("after", serviceAccount: "app", isHostNetwork: true)
            #expect(try await pod.token().accessToken.hasPrefix("ya29."))
            #expect(kubernetes.mints.events.allSatisfy { $0.audiences == [provider] })

            kubernetes.revokeManifests()
            let later = try await world.addPod("later", serviceAccount: "app", isHostNetwork: true).ask()
            #expect(later.status == 403)
        }
    }

    @Test("a site without Google: its settings start an agent, its rule is needed and is enough")
    func withoutGoogle() async throws {
        let objects = try await Manifest.objects("site-without-google")
        let settings = try #require(objects.first { $0["data"]?["PODIDENTD_CLOUDS"]?.string != nil }?["data"])
        #expect(settings["PODIDENTD_GOOGLE_PROVIDER"] == nil && settings["PODIDENTD_AWS_REGION"]?.string == "")
        try await withWorld { world in
            let aws = try await world.startAWS()
            aws.addServiceAccount("app", role: "reader")
            world.cluster.kubernetes.revokeAudience()
            var changes: [String: String?] = aws.agentConfiguration
            changes["clouds"] = settings["PODIDENTD_CLOUDS"]?.string
            for key in world.agentConfiguration.keys where key.hasPrefix("google.") { changes[key] = .some(nil) }
            let agent = try await world.startAgent(changes)
            let role = "/latest/meta-data/iam/security-credentials/reader"
            let before = try await world.addPod("before", serviceAccount: "app").aws(role)
            #expect(before.status == 401 && before.body.contains("request-serviceaccounts-token-audience"))
            #expect(world.cluster.kubernetes.mints.total == 0)
            try world.cluster.kubernetes.apply(objects)
            #expect(try await world.addPod("after", serviceAccount: "app").aws(role).status == 200)
            #expect(world.cluster.kubernetes.mints.events.allSatisfy { $0.audiences == ["sts.amazonaws.com"] })
            await agent.stop()
        }
    }

    @Test(
        "the narrower rules give tokens to the namespaces that they name, and to no other",
        arguments: ["component-audience-by-namespace", "component-audience-by-service-account"])
    func narrowerRules(manifest: String) async throws {
        try await withAgent { world, _ in
            let objects = try await Manifest.objects(manifest, audience: world.cluster.configuration.providerName)
            world.cluster.kubernetes.revokeAudience()
            try world.cluster.kubernetes.apply(objects)
            let callers = [("team-a", "app"), ("team-a", "other"), ("team-b", "app")]
            var statuses: [Int] = []
            for (number, caller) in callers.enumerated() {
                world.addServiceAccount(caller.1, namespace: caller.0)
                let pod = try await world.addPod(
                    "p\(number)", namespace: caller.0, serviceAccount: caller.1, isHostNetwork: true)
                statuses.append(try await pod.ask().status)
            }
            #expect(statuses == [200, manifest.hasSuffix("namespace") ? 200 : 403, 403])
        }
    }

    @Test("before Kubernetes 1.34 the read-only rule is needed and is enough")
    func readServiceAccounts() async throws {
        let objects = try await Manifest.objects("component-read-service-accounts")
        try await withAgent(configure: {
            $0.kubernetes.nodesReadServiceAccounts = false
            $0.kubernetes.restrictsNodeAudiences = false
        }) { world, _ in
            world.addServiceAccount("app")
            let before = try await world.addPod("before", serviceAccount: "app", isHostNetwork: true).ask()
            #expect(before.status == 403)
            #expect(before.body.contains("optional RBAC rule of podidentd's manifests"))
            try world.cluster.kubernetes.apply(objects)
            // The refusal is remembered for a while, for the ServiceAccount that it was about.
            world.addServiceAccount("other")
            let pod = try await world.addPod("after", serviceAccount: "other", isHostNetwork: true)
            #expect(try await pod.token().accessToken.hasPrefix("ya29."))
        }
    }
}

/// A golden manifest as the emulated API server takes it.
enum Manifest {
    /// The objects of `deploy/golden/NAME.yaml`; with `audience` in the place of the example's, if one is given.
    static func objects(_ name: String, audience: String? = nil) async throws -> [JSON] {
        var text = try await Command.require(
            [".build/deploy/venv/bin/python", "deploy/tests/objects-as-json", "deploy/golden/\(name).yaml"])
        if let audience {
            let example =
                "//iam.googleapis.com/projects/PROJECT_NUMBER/locations/global/workloadIdentityPools/POOL"
                + "/providers/PROVIDER"
            #expect(text.contains(example))
            text = text.replacing(example, with: audience)
        }
        return try #require(try JSON(parsing: Array(text.utf8)).array)
    }
}
