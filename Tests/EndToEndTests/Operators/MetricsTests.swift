import AgentTesting
import Foundation
import Lab
import MetricsTesting
import Operations
import Testing

@Suite(.serialized, .timeLimit(.minutes(10)))
struct MetricsTests {
    @Test(
        "a live agent exposes every documented metric with its type and labels, and no other",
        arguments: [
            MetricExposition.text, .openMetrics,
        ])
    func everyMetric(_ format: MetricExposition) async throws {
        try await withAgent { world, _ in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app")
            _ = try await pod.token()
            #expect(try await pod.ask("/nothing").status == 404)
            let scrape = try await world.scrape(format)
            #expect(
                scrape.families.map(\.name)
                    == MetricNames.all.map { format == .text ? $0.sampleName : $0.name })
            for (family, definition) in zip(scrape.families, MetricNames.all) {
                let kind = format == .text && definition.kind == .info ? "gauge" : definition.kind.rawValue
                #expect(family.type == kind, "\(family.name)")
                #expect(family.help == definition.help)
                if format == .openMetrics { #expect(family.unit == definition.unit?.rawValue) }
                #expect(!family.samples.isEmpty, "\(family.name)")
                let labels = Set(definition.labels)
                #expect(family.samples.allSatisfy { Set($0.labels.keys).subtracting(["le"]) == labels })
            }
        }
    }

    @Test("what happened is what is counted")
    func counts() async throws {
        try await withAgent { world, agent in
            world.addServiceAccount("app")
            let pod = try await world.addPod("a", serviceAccount: "app")
            for _ in 0..<3 { _ = try await pod.token() }
            #expect(try await pod.run("curl", "-s", "http://169.254.169.254\(tokenPath)").output.contains("Missing"))
            let scrape = try await world.scrape()
            #expect(scrape.value("podidentd_requests_total", ["route": "access_token", "code": "200"]) == 3)
            #expect(scrape.value("podidentd_requests_total", ["route": "access_token", "code": "403"]) == 1)
            #expect(scrape.value("podidentd_refusals_total", ["reason": "missing_flavor"]) == 1)
            #expect(scrape.value("podidentd_request_duration_seconds_count", ["source": "fetched"]) == 1)
            #expect(scrape.value("podidentd_request_duration_seconds_count", ["source": "cached"]) == 2)
            #expect(scrape.value("podidentd_token_fetches_total", ["result": "succeeded"]) == 1)
            #expect(scrape.value("podidentd_token_entries", ["state": "fresh"]) == 1)
            for upstream in ["kubernetes", "sts"] {
                let calls = scrape.value(
                    "podidentd_upstream_calls_total", ["upstream": upstream, "result": "succeeded"])
                #expect((calls ?? -1) >= 1)
            }
            let kernel = try await agent.status().kernel
            #expect(scrape["podidentd_kernel_events_total"]?.samples.count == kernel.count)
            #expect(scrape.value("podidentd_kernel_events_total", ["event": "tagged"]) == 4)
            #expect(scrape.value("podidentd_kernel_map_capacity", ["map": "listeners"]) == 8192)
            #expect(scrape.value("podidentd_pods") == 1)
            #expect((scrape.value("podidentd_cgroups") ?? -1) >= 1)
            #expect(scrape.value("podidentd_hooks", ["state": "missing"]) == 0)
            #expect((scrape.value("podidentd_node_credential_expiry_timestamp_seconds") ?? -1) > 1.7e9)
            #expect((scrape.value("process_resident_memory_bytes") ?? -1) > 1e6)
        }
    }

    @Test("an upstream's failures and the repetitions they cost are counted apart from other upstreams'")
    func upstreamFailures() async throws {
        try await withAgent { world, _ in
            let account = "app@lab-project.iam.gserviceaccount.com"
            world.cluster.iamCredentials.createAccount(account)
            world.cluster.kubernetes.createServiceAccount(
                namespace: "default", name: "app", annotations: ["iam.gke.io/gcp-service-account": account])
            let pod = try await world.addPod("a", serviceAccount: "app")
            #expect(try await pod.ask().status == 403)
            let scrape = try await world.scrape()
            #expect(scrape.value("podidentd_upstream_calls_total", ["upstream": "iam", "result": "denied"]) == 1)
            #expect(scrape.value("podidentd_upstream_calls_total", ["upstream": "sts", "result": "denied"]) == 0)
            #expect(scrape.value("podidentd_refusals_total", ["reason": "impersonation_refused"]) == 1)
        }
    }

    @Test("nothing is served but the three paths, and only to GET and HEAD")
    func paths() async throws {
        try await withAgent { world, _ in
            let live = try await world.operations("/livez")
            #expect(live.body == "ok\n")
            let queried = try await world.operations("/metrics?x=1")
            #expect(queried.status == 200)
            for path in ["/", "/debug/status", "/metrics/", "//metrics", "/computeMetadata/v1/", "/METRICS"] {
                let other = try await world.operations(path)
                #expect(other.status == 404, "\(path)")
            }
            let posted = try await world.operations("/metrics", options: ["-X", "POST"])
            #expect(posted.status == 405)
        }
    }

    @Test("readiness names what is missing, as soon as it is missing")
    func readiness() async throws {
        try await withAgent { world, _ in
            let deadline = ContinuousClock.now + .seconds(60)
            var answer = try await world.operations("/readyz")
            while answer.status != 200, ContinuousClock.now < deadline {
                answer = try await world.operations("/readyz")
            }
            #expect(answer.status == 200)
            #expect(
                answer.body == """
                    [+]hooks ok
                    [+]pods ok
                    [+]credentials ok
                    [+]connection not proven: pod-uid is not set
                    [+]arrivals ok

                    """)
            try FileManager.default.removeItem(atPath: world.pinDirectory + "/links/connect4")
            answer = try await world.operations("/readyz")
            #expect(answer.status == 503)
            #expect(answer.body.contains("[-]hooks detached by another process: connect4"))
            #expect(answer.body.contains("[+]pods ok"))
            let scrape = try await world.scrape()
            #expect(scrape.value("podidentd_ready", ["condition": "hooks"]) == 0)
            #expect(scrape.value("podidentd_hooks", ["state": "missing"]) == 1)
        }
    }

    @Test("a listener that is switched off is none", arguments: ["0", "off"])
    func off(_ port: String) async throws {
        try await withAgent(["metrics.port": port]) { world, agent in
            await #expect(throws: LabError.self) { try await world.operations("/livez") }
            #expect(agent.isRunning)
        }
    }
}
