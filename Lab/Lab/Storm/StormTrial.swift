import Foundation

/// Many pods that start at the same moment and ask for their first token at once, on a node that is busy with other work.
///
/// Nothing is known of any of them before: the agent has to learn of the pod, read its ServiceAccount, and make three calls
/// for its token.
package struct StormTrial: Sendable {
    /// The first requests of one round, or of all.
    package struct Result: Sendable {
        package var asked = 0
        /// Answered with the pod's own token, at the first try.
        package var served = 0
        /// Other outcomes, by their first words.
        package var others: [String: Int] = [:]
        /// Milliseconds until the token, ascending.
        package var latencies: [Int] = []

        package mutating func add(_ other: Result) {
            asked += other.asked
            served += other.served
            others.merge(other.others, uniquingKeysWith: +)
            latencies = (latencies + other.latencies).sorted()
        }

        package func quantile(_ share: Double) -> Int {
            latencies.isEmpty ? 0 : latencies[min(latencies.count - 1, Int(Double(latencies.count) * share))]
        }
    }

    package var pods = 200
    package var rounds = 5
    /// Processes that do nothing but take processor time.
    package var hogs = 2
    /// How late each upstream answers.
    package var delay = Duration.zero

    package init() {}

    package func run(in world: LabWorld, report: (Result) -> Void) async throws -> Result {
        let namespace = "storm"
        let googleAccount = "storm@\(LabWorld.project).iam.gserviceaccount.com"
        world.cluster.iamCredentials.createAccount(googleAccount)
        for number in 0..<pods {
            let name = "account-\(number)"
            world.cluster.kubernetes.createServiceAccount(
                namespace: namespace, name: name, annotations: ["iam.gke.io/gcp-service-account": googleAccount])
            world.cluster.iamCredentials.allowImpersonation(
                of: googleAccount, by: .serviceAccount(namespace: namespace, name: name))
        }
        let agent = try await world.startAgent()
        let servers = [
            world.cluster.kubernetesServer, world.cluster.securityTokenServiceServer,
            world.cluster.iamCredentialsServer,
        ]
        if delay > .zero { for server in servers { server.faults.inject(.delay(delay)) } }
        let hogs = try (0..<hogs).map { _ in try Command(["sh", "-c", "while :; do :; done"]) }
        defer { for hog in hogs { hog.signal(SIGKILL) } }
        var all = Result()
        for round in 0..<rounds {
            let result = try await volley(round, in: world, namespace: namespace)
            report(result)
            all.add(result)
        }
        for hog in hogs { hog.signal(SIGKILL) }
        for server in servers { server.faults.clear() }
        await agent.stop()
        return all
    }

    private func volley(_ round: Int, in world: LabWorld, namespace: String) async throws -> Result {
        // In a directory that every pod may enter.
        let gun = "/tmp/\(world.node.identifier)-gun-\(round)"
        guard unsafe mkfifo(gun, 0o666) == 0 else { throw LabError("cannot make \(gun): errno \(errno)") }
        var pods: [RunningPod] = []
        for number in 0..<self.pods {
            pods.append(
                try await world.node.addPod(
                    RunningPodSpecification(name: "storm-\(round)-\(number)", namespace: namespace, isHostNetwork: true)
                ))
        }
        let asking = try pods.map { pod in
            try pod.attack(["volley", gun, LabNode.metadataAddress, "80"], as: .unprivileged)
        }
        for command in asking { try await command.errorLines.first(within: .seconds(60)) { $0 == "waiting" } }
        // All start with the writer.
        let writer = unsafe open(gun, O_RDWR | O_CLOEXEC)
        for (number, pod) in pods.enumerated() {
            world.cluster.kubernetes.createPod(
                namespace: namespace, name: pod.name, serviceAccount: "account-\(number)", node: LabWorld.nodeName,
                uid: pod.uid, hostNetwork: true)
        }
        var result = Result()
        for (pod, command) in zip(pods, asking) {
            let output = await command.result().output
            result.asked += 1
            if Loot(output, world: world).owners == [pod.uid] {
                result.served += 1
                let words = output.split(separator: "\n").last?.split(separator: " ")
                if let time = words?.first.flatMap({ Int($0) }) { result.latencies.append(time) }
            } else {
                result.others[String(output.prefix(12)).trimmingCharacters(in: .newlines), default: 0] += 1
            }
        }
        close(writer)
        unsafe unlink(gun)
        result.latencies.sort()
        for pod in pods { await world.deletePod(pod) }
        return result
    }
}

extension StormTrial.Result {
    package static let header = """
        | first requests | served at the first try | share | median | p99 | slowest | others |
        |---|---|---|---|---|---|---|
        """

    package var line: String {
        let share = Double(served * 1000 / max(asked, 1)) / 10
        let rest = others.sorted { $0.key < $1.key }.map { "\($0.value) x \($0.key)" }.joined(separator: ", ")
        return "| \(asked) | \(served) | \(share) % | \(quantile(0.5)) ms | \(quantile(0.99)) ms "
            + "| \(latencies.last ?? 0) ms | \(rest) |"
    }
}
