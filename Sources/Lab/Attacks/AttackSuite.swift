import Foundation

/// Every way round the redirect and the attribution, tried against a running agent with a trap behind the metadata
/// addresses and a victim that works throughout.
package struct AttackSuite: Sendable {
    static let tokenPath = "/computeMetadata/v1/instance/service-accounts/default/token"

    let world: LabWorld
    let mallory: RunningPod
    let target: RunningPod
    private let watch: VictimWatch
    private let report: @Sendable (AttackReport) -> Void

    /// Runs all attacks in a fresh world.
    ///
    /// - Parameters:
    ///   - world: Without an agent: the suite starts one after the first attack.
    ///   - report: Called with each attack's outcome when it is over.
    /// - Returns: All outcomes.
    /// - Throws: If the world itself does not work.
    package static func run(
        in world: LabWorld, report: @escaping @Sendable (AttackReport) -> Void
    ) async throws -> [AttackReport] {
        for name in ["victim", "mallory"] {
            world.cluster.kubernetes.createServiceAccount(namespace: name, name: "default")
        }
        let victim = try await world.addPod("victim", namespace: "victim")
        let mallory = try await world.addPod("mallory", namespace: "mallory", quality: .burstable)
        let suite = AttackSuite(
            world: world, mallory: mallory, target: victim, watch: VictimWatch(world: world, pod: victim),
            report: report
        )
        return try await suite.run()
    }

    private func run() async throws -> [AttackReport] {
        let old = try await openOldConnection()
        let agent = try await world.startAgent()
        do {
            let reports = try await attackAll(old: old, agent: agent)
            await agent.stop()
            return reports
        } catch {
            await agent.kill()
            throw error
        }
    }

    private func attackAll(old: Command, agent: AgentProcess) async throws -> [AttackReport] {
        let watcher = Task { await watch.run() }
        defer { watcher.cancel() }
        var reports: [AttackReport] = []
        for attack in vectors(old: old) {
            reports.append(try await perform(attack))
        }
        watcher.cancel()
        await watcher.value
        reports.append(try await attackWithoutAgent(agent))
        return reports
    }

    private func perform(_ attack: Attack) async throws -> AttackReport {
        let contacts = world.cluster.trap?.contacts.events.count
        let output = try await attack.run()
        let notice = await watch.take()
        return finish(
            attack, output: output, contactsBefore: contacts,
            victim: "\(notice.answered) answers, \(notice.failed + notice.wrong) bad, <= \(Self.text(notice.slowest))",
            victimIsWell: notice.failed + notice.wrong == 0
        )
    }

    /// R10: the agent's process is killed; the hooks stay.
    private func attackWithoutAgent(_ agent: AgentProcess) async throws -> AttackReport {
        await agent.kill()
        let contacts = world.cluster.trap?.contacts.events.count
        let attack = Attack("R10", .unprivileged, "connect() while the agent is dead", .nothing) {
            try await got(["connect", "plain", LabNode.metadataAddress, "80"], .unprivileged)
        }
        return finish(
            attack, output: try await attack.run(), contactsBefore: contacts, victim: "(refused too)",
            victimIsWell: true
        )
    }

    private func finish(
        _ attack: Attack, output: String, contactsBefore: Int?, victim: String, victimIsWell: Bool
    ) -> AttackReport {
        let isTrapQuiet = world.cluster.trap?.contacts.events.count == contactsBefore
        let outcome = describe(output)
        let isExpected =
            switch attack.expectation {
            case .ownIdentity: outcome == Self.ownIdentity
            case .nothing: !output.contains("answered")
            case .ownIdentityOrNothing: outcome == Self.ownIdentity || !output.contains("answered")
            case .service: output.hasPrefix("answered")
            }
        let result = AttackReport(
            number: attack.number, attacker: attack.attacker, attempt: attack.attempt,
            outcome: isTrapQuiet ? outcome : "TRAP: " + outcome, victim: victim,
            isHeld: isExpected && isTrapQuiet && victimIsWell
        )
        report(result)
        return result
    }

    private static let ownIdentity = "its own identity, through the agent"

    private func describe(_ output: String) -> String {
        switch Self.owner(ofTokenIn: output, world: world) {
        case mallory.uid: return Self.ownIdentity
        case let owner?: return "THE IDENTITY OF \(owner)"
        case nil:
            return output.split(separator: "\n").first.map { String($0.prefix(44)) } ?? "nothing"
        }
    }

    /// The UID of the pod that an access token in `text` was made for; `nil` if there is no token that the lab issued.
    static func owner(ofTokenIn text: String, world: LabWorld) -> String? {
        guard let start = text.firstRange(of: "\"access_token\""),
            let token = text[start.upperBound...].split(separator: "\"").dropFirst().first
        else { return nil }
        if token == TrapServer.token { return "THE MACHINE" }
        return world.cluster.ledger.describe(String(token))?.subject.podUID ?? "nobody known"
    }

    private static func text(_ duration: Duration) -> String {
        "\(duration / .milliseconds(1)) ms".replacing(#/\.\d+/#, with: "")
    }

    /// Runs the attack program in the attacking pod, and returns what it printed.
    func got(
        _ arguments: [String], _ attacker: Attacker, in pod: RunningPod? = nil, cgroup: String? = nil
    ) async throws -> String {
        let result = try await (pod ?? mallory).attack(arguments, as: attacker, cgroup: cgroup).result()
        return result.output.isEmpty ? "status \(result.status): \(result.errorOutput)" : result.output
    }
}

/// One attack, ready to run.
struct Attack: Sendable {
    let number: String
    let attacker: Attacker
    let attempt: String
    let expectation: AttackReport.Expectation
    let run: @Sendable () async throws -> String

    init(
        _ number: String, _ attacker: Attacker, _ attempt: String, _ expectation: AttackReport.Expectation,
        run: @escaping @Sendable () async throws -> String
    ) {
        self.number = number
        self.attacker = attacker
        self.attempt = attempt
        self.expectation = expectation
        self.run = run
    }
}
