/// One attack, ready to run.
struct Attack: Sendable {
    /// The most that an attacker may get.
    enum Expectation: Sendable {
        /// The attacker is served as itself: the attack was no way round.
        case ownIdentity
        /// The attacker gets not a byte of an answer.
        case nothing
        /// The attacker gets at most a refusal.
        case noToken
        /// Served as itself, or not at all.
        case ownIdentityOrNoToken
        /// A service that must stay open answers.
        case service
        /// The attack's output begins with just this.
        case text(String)
        /// The result is not ours to prevent, whatever it is.
        case open(reason: String)
    }

    /// The most that the victim may notice. It never gets another pod's token.
    enum VictimExpectation: Sendable {
        /// Every request is answered.
        case served
        /// The agent is away: no request is answered by anybody else.
        case refused
    }

    let number: String
    let attacker: Attacker
    let attempt: String
    let expectation: Expectation
    /// The pod whose identity is the attacker's own, if it is not the usual attacking pod.
    var ownUID: String?
    var victim = VictimExpectation.served
    /// The services that the agent must have.
    var service = AttackStage.Service.clouds
    /// Answers of the victim that have to be seen since the row before this one, and some of them after the attack's end: see
    /// ``VictimProbe/take(atLeast:)``.
    var leastAnswers = 10
    /// The same attack where nothing protects: returns whether it works. Without one nothing is proven.
    var control: (@Sendable () async throws -> Bool)?
    /// A load that takes as much of the processors without a word to the agent. The victim may wait at most
    /// ``agentFactorMax`` times as long beside the attack as beside this.
    var neutral: (@Sendable () async throws -> String)?
    let run: @Sendable () async throws -> String

    /// The most that the agent's own part may add to what the processors' share makes of the victim's p99.
    static let agentFactorMax = 20.0

    init(
        _ number: String, _ attacker: Attacker, _ attempt: String, _ expectation: Expectation,
        own: RunningPod? = nil, victim: VictimExpectation = .served, leastAnswers: Int = 10,
        control: (@Sendable () async throws -> Bool)? = nil, run: @escaping @Sendable () async throws -> String
    ) {
        self.number = number
        self.attacker = attacker
        self.attempt = attempt
        self.expectation = expectation
        self.ownUID = own?.uid
        self.victim = victim
        self.leastAnswers = leastAnswers
        self.control = control
        self.run = run
    }
}

/// An attack could not be made: a tool is missing, a step before the attack failed.
struct AttackNotMounted: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// The gains that an attack's output claims.
struct Loot: Sendable {
    /// Stands for a token that is no pod's, but of a server that no pod may reach.
    static let machine = "THE MACHINE"

    let output: String
    /// The UIDs of the pods whose tokens are in the output, or words that say that a token is no pod's.
    let owners: Set<String>

    init(_ output: String, world: LabWorld) {
        self.output = output
        owners = Set(
            output.ranges(of: "\"access_token\"").compactMap { range in
                output[range.upperBound...].split(separator: "\"").dropFirst().first.map { token in
                    token == TrapServer.token
                        ? Self.machine : world.cluster.ledger.describe(String(token))?.subject.podUID ?? "NOBODY KNOWN"
                }
            }
        )
    }

    var isAnswered: Bool { output.contains("answered") }

    func meets(_ expectation: Attack.Expectation, ownUID: String) -> Bool {
        switch expectation {
        case .ownIdentity: owners == [ownUID]
        case .nothing: !isAnswered && owners.isEmpty
        case .noToken: owners.isEmpty
        case .ownIdentityOrNoToken: owners.isSubset(of: [ownUID])
        case .service: output.hasPrefix("answered")
        case .text(let text): output.hasPrefix(text) && owners.isEmpty
        case .open: true
        }
    }

    /// The loot in a few words.
    func text(ownUID: String, nameOf: (String) -> String?) -> String {
        guard !owners.isEmpty else {
            return output.split(separator: "\n").last.map { String($0.prefix(60)) } ?? "nothing"
        }
        if owners == [ownUID] { return "its own identity, through the agent" }
        return "THE IDENTITY OF "
            + owners.subtracting([ownUID]).map { nameOf($0) ?? $0 }.sorted().joined(separator: ", ")
    }
}
