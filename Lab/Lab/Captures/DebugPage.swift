import Foundation

/// The page of the documentation that shows the debug commands: made by running them in the lab.
package struct DebugPage: Sendable {
    private let world: LabWorld

    private static let account = "reports@\(LabWorld.project).iam.gserviceaccount.com"

    /// Starts a world, runs every command in it, and returns the page as Markdown. Needs root.
    package static func make(keys: LabCluster.Keys) async throws -> String {
        try await LabWorld.with(keys: keys) { try await DebugPage(world: $0).text() }
    }

    private func text() async throws -> String {
        let pods = try await setUp()
        let agent = try await world.startAgent()
        for pod in pods { _ = try await pod.run("curl", "-s", "-H", "Metadata-Flavor: Google", Self.tokenURL) }
        let client = try await openConnection(of: pods[0], agent)
        let bundle = world.node.directory + "/bundle.tar"
        var page = CapturePage(world: world, agent: agent, text: Self.introduction + "\n")
        try await page.show("debug explain finance/reports", Self.explanation)
        try await page.show(
            "debug explain shop/orders", "A pod whose annotation names an account that it may not act as:")
        try await page.show("debug explain shop/elsewhere", "A pod of another node:")
        try await page.show("debug cgroups", Self.cgroups)
        try await page.show("debug cgroups --output tree", "As a tree:")
        try await page.show("debug cgroups --namespace shop --pod web-1", "Filtered:")
        try await page.show("debug cgroups --output json --pod web-1", "For programs:")
        try await page.show("debug connections", Self.connections)
        try await page.show("debug tokens", Self.tokens)
        try await page.show("debug top --once", Self.top)
        try await page.show("debug bundle --file \(bundle)", Self.bundle)
        try await page.showOther(["tar", "-tf", bundle])
        try await page.show("check", Self.check)
        client.signal(SIGKILL)
        _ = await client.result()
        await agent.stop()
        try await page.show("debug cgroups --output tree", Self.withoutAgent)
        try await page.show("debug explain shop/web-1", "What only the agent knows is not there without it:")
        return page.text
    }

    private static let tokenURL =
        "http://\(LabNode.metadataAddress)/computeMetadata/v1/instance/service-accounts/default/token"

    private func setUp() async throws -> [RunningPod] {
        let kubernetes = world.cluster.kubernetes
        kubernetes.createServiceAccount(namespace: "shop", name: "web")
        let annotation = ["iam.gke.io/gcp-service-account": Self.account]
        kubernetes.createServiceAccount(namespace: "shop", name: "orders", annotations: annotation)
        kubernetes.createServiceAccount(namespace: "finance", name: "reports", annotations: annotation)
        world.cluster.iamCredentials.createAccount(Self.account)
        world.cluster.iamCredentials.allowImpersonation(
            of: Self.account, by: .serviceAccount(namespace: "finance", name: "reports"))
        // Without an agent there are no names to sort by: UIDs that are the same in every run keep the order.
        func uid(_ digit: Character) -> String { "\(String(repeating: digit, count: 8))-0000-4000-8000-000000000000" }
        return [
            try await world.addPod("web-1", namespace: "shop", serviceAccount: "web", uid: uid("3")),
            try await world.addPod(
                "orders", namespace: "shop", serviceAccount: "orders", quality: .burstable, uid: uid("2")),
            try await world.addPod(
                "reports", namespace: "finance", serviceAccount: "reports", quality: .guaranteed, uid: uid("1")),
        ]
    }

    /// A connection that stays open, once it is the only one.
    private func openConnection(of pod: RunningPod, _ agent: AgentProcess) async throws -> Command {
        let script = """
            exec 3<> /dev/tcp/\(LabNode.metadataAddress)/80
            printf 'GET / HTTP/1.1\\r\\nHost: \(LabNode.metadataAddress)\\r\\nMetadata-Flavor: Google\\r\\n\\r\\n' >&3
            head -c 15 <&3 >&2; echo >&2; exec cat <&3 > /dev/null
            """
        let client = try pod.start(["bash", "-c", script])
        try await client.errorLines.first { $0.hasPrefix("HTTP/1.1 200") }
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            let dump = try await Command.require(
                [
                    world.binaries + "/podidentd", "debug", "connections", "-o", "json", "--config",
                    agent.configurationPath,
                ])
            if dump.ranges(of: "\"open\" : 0").count == 2 { return client }
        }
        throw LabError("connections of answered requests are still open after a minute")
    }
}
