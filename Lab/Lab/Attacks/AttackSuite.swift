import Foundation

/// Every way round the redirect and the attribution, tried against a running agent. A trap is behind the metadata
/// addresses, and a victim works throughout.
package struct AttackSuite: Sendable {
    static let tokenPath = "/computeMetadata/v1/instance/service-accounts/default/token"
    static let metadata = [LabNode.metadataAddress, "80"]
    /// The agent's listener in whatever network namespace a process is in.
    static let agentPort = ["127.0.0.1", "\(AgentProcess.port)"]

    let stage: AttackStage
    let victim: VictimProbe
    let report: @Sendable (AttackReport) -> Void

    var world: LabWorld { stage.world }
    var mallory: RunningPod { stage.mallory }
    var target: RunningPod { stage.target }

    /// Runs all attacks in a fresh world.
    ///
    /// - Parameters:
    ///   - world: Without an agent: the suite starts one after the first attack.
    ///   - only: Those whose number or attempt contains this; all if it is empty.
    ///   - report: Called with each attack's outcome when it is over.
    /// - Returns: All outcomes.
    /// - Throws: If the world itself does not work.
    package static func run(
        in world: LabWorld, only: String = "", report: @escaping @Sendable (AttackReport) -> Void
    ) async throws -> [AttackReport] {
        try await onStage(in: world) { stage in
            let old = try await openOldConnections(stage)
            try await stage.startAgent()
            let suite = AttackSuite(
                stage: stage, victim: try VictimProbe(world: world, pod: stage.target), report: report
            )
            let reports = try await suite.attackAll(old: old, only: only)
            await stage.stopAgent()
            return reports
        }
    }

    /// Makes a stage for `body`, and closes it also when `body` fails.
    static func onStage<Result>(
        in world: LabWorld, _ body: (AttackStage) async throws -> Result
    ) async throws -> Result {
        let stage = try await AttackStage(world: world)
        do {
            let result = try await body(stage)
            await stage.close()
            return result
        } catch {
            try? await stage.killAgent()
            await stage.close()
            throw error
        }
    }

    private func attackAll(old: [(RunningPod, Command)], only: String) async throws -> [AttackReport] {
        // The first requests make tokens and fill caches.
        _ = try await victim.take(atLeast: 20)
        let quiet = try await victim.take(atLeast: 200)
        var reports: [AttackReport] = []
        for attack in oldConnections(old) + attacks
        where only.isEmpty || attack.number == only || attack.attempt.contains(only) {
            reports.append(try await perform(attack, quiet: quiet))
        }
        return reports
    }

    /// The attacks in the order of the list of threats, but for those that take the agent away, which come last.
    private var attacks: [Attack] {
        connects + layouts + packets + detours + ports + requests + outsiders + descriptors + farEnds + namespaces
            + cgroups
            + connections + exhaustion + resources + names + clouds + detoursOfPackets + handover + outages + starts
            + tenants + googleAlone + identities + meshes
    }

    func perform(_ attack: Attack, quiet: VictimProbe.Notice) async throws -> AttackReport {
        try await serve(attack.service)
        victim.hurry(attack.victim == .refused)
        if let control = attack.control {
            do {
                guard try await control() else { throw AttackNotMounted("it does not work where nothing protects") }
            } catch let error as AttackNotMounted {
                return notMounted(attack, error)
            }
        }
        let neutral = try await beside(attack.neutral, atLeast: attack.leastAnswers)
        let before = try? await AgentCounters(of: stage.agent)
        let contacts = world.cluster.trap?.contacts.total
        let output: String
        do {
            output = try await attack.run()
        } catch let error as AttackNotMounted {
            _ = try? await victim.take(atLeast: 1)
            return notMounted(attack, error)
        }
        let isTrapQuiet = world.cluster.trap?.contacts.total == contacts
        let notice = try await victim.take(atLeast: attack.leastAnswers)
        let after = try? await AgentCounters(of: stage.agent)
        return finish(
            attack, loot: Loot(output, world: world), isTrapQuiet: isTrapQuiet, notice: notice, quiet: quiet,
            neutral: neutral, counters: before.flatMap { before in after?.limits(since: before) } ?? [:]
        )
    }

    /// Replaces the agent where the row before this one needed another. The victim may be refused meanwhile, but it gets no
    /// answer of another, and the machine's own server no connection.
    private func serve(_ service: AttackStage.Service) async throws {
        guard service != stage.service else { return }
        victim.hurry(true)
        let contacts = world.cluster.trap?.contacts.total
        try await stage.serve(service)
        let notice = try await victim.take(atLeast: 10)
        guard notice.wrong == 0, world.cluster.trap?.contacts.total == contacts else {
            throw LabError("while the agent was replaced the victim met another server: \(notice.wrong) wrong answers")
        }
    }

    /// The victim's findings beside a load that is none of the agent's.
    private func beside(
        _ load: (@Sendable () async throws -> String)?, atLeast count: Int
    ) async throws -> VictimProbe.Notice? {
        guard let load else { return nil }
        _ = try await victim.take(atLeast: 1)
        _ = try await load()
        return try await victim.take(atLeast: count)
    }

    private func notMounted(_ attack: Attack, _ error: AttackNotMounted) -> AttackReport {
        let result = AttackReport(
            number: attack.number, attacker: attack.attacker, attempt: attack.attempt, outcome: "", output: "",
            isProven: false, victim: "", verdict: .notMounted(reason: error.description), counters: [:]
        )
        report(result)
        return result
    }

    private func finish(
        _ attack: Attack, loot: Loot, isTrapQuiet: Bool, notice: VictimProbe.Notice, quiet: VictimProbe.Notice,
        neutral: VictimProbe.Notice?, counters: [String: UInt64]
    ) -> AttackReport {
        let ownUID = attack.ownUID ?? mallory.uid
        let isAgentsPartSmall = neutral.map { notice.p99 <= Attack.agentFactorMax * max($0.p99, quiet.p99) } ?? true
        let isVictimWell =
            switch attack.victim {
            case .served: notice.failed + notice.wrong == 0 && isAgentsPartSmall
            case .refused: notice.wrong == 0
            }
        let verdict: AttackReport.Verdict =
            if case .open(let reason) = attack.expectation, isVictimWell {
                .open(reason: reason)
            } else {
                loot.meets(attack.expectation, ownUID: ownUID) && isTrapQuiet && isVictimWell ? .held : .broken
            }
        let outcome = loot.text(ownUID: ownUID, nameOf: name)
        let result = AttackReport(
            number: attack.number, attacker: attack.attacker, attempt: attack.attempt,
            outcome: isTrapQuiet ? outcome : "TRAP: " + outcome, output: loot.output,
            isProven: attack.control != nil,
            victim: Self.describe(notice, quiet: quiet, neutral: neutral), verdict: verdict, counters: counters
        )
        report(result)
        return result
    }

    func name(of uid: String) -> String? {
        world.node.pods.first { $0.uid == uid }?.name
    }

    private static func describe(
        _ notice: VictimProbe.Notice, quiet: VictimProbe.Notice, neutral: VictimProbe.Notice?
    ) -> String {
        var text = "\(notice.answered) answers"
        if notice.failed > 0 { text += ", \(notice.failed) none (\(notice.firstFailure ?? ""))" }
        if notice.wrong > 0 { text += ", \(notice.wrong) WRONG" }
        guard notice.answered > 0 else { return text }
        text += ", p99 \(Self.milliseconds(notice.p99))"
        // Fewer than 200 answers have no p99.
        guard notice.answered >= 200, quiet.p99 > 0 else { return text }
        text += " = quiet x \(Self.round(notice.p99 / quiet.p99))"
        if let neutral, neutral.p99 > 0 { text += " = such a load elsewhere x \(Self.round(notice.p99 / neutral.p99))" }
        return text + ", max \(Self.milliseconds(notice.slowest))"
    }

    private static func milliseconds(_ value: Double) -> String {
        "\(Self.round(value)) ms"
    }

    private static func round(_ value: Double) -> String {
        value < 100 ? "\((value * 10).rounded() / 10)" : "\(Int(value))"
    }
}
