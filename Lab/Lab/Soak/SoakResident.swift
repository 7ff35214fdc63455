/// A pod that stays, and asks for all sorts of things in turn.
struct SoakResident: Sendable {
    private struct Question {
        var visit: ClientRequest
        var expectation: ResponseOracle.Expectation
        /// Whether the answer's time counts as that of a cached token.
        var isMeasured = false
    }

    let asker: TokenPoller
    private let questions: [Question]

    init(_ asker: TokenPoller, hasGoogleAccount: Bool) {
        self.asker = asker
        let token = Question(visit: ClientRequest(path: MetadataPath.token), expectation: .own, isMeasured: true)
        let kept = Question(
            visit: ClientRequest(path: MetadataPath.token, manner: .keptConnection), expectation: .own, isMeasured: true
        )
        var questions = [token, kept, kept, token, kept, Self.ask("instance/zone", 200, "/zones/")]
        questions += [token, kept, Self.ask("instance/service-accounts/", 200, "default/"), token, kept]
        if hasGoogleAccount {
            let visit = ClientRequest(path: MetadataPath.identity(audience: "https://soak.example"))
            questions.append(Question(visit: visit, expectation: .ownIdentity))
            questions.append(Self.ask("instance/service-accounts/default/email", 200, SoakWorld.email))
        }
        // Requests that are refused, and must go on being refused in the same way.
        questions.append(Self.ask("instance/no-such-thing", 404, "Not Found"))
        questions.append(Self.ask("project/project-id", 403, "Metadata-Flavor", headers: []))
        questions.append(
            Self.ask(
                "project/project-id", 403, "X-Forwarded-For",
                headers: ["Metadata-Flavor: Google", "X-Forwarded-For: 192.0.2.1"]))
        self.questions = questions
    }

    private static func ask(_ path: String, _ status: Int, _ text: String, headers: [String]? = nil) -> Question {
        Question(
            visit: ClientRequest(path: "/computeMetadata/v1/" + path, headers: headers),
            expectation: .answer(status, containing: text))
    }

    /// Asks everything once.
    func askAll(pause: Duration, ledger: SoakLedger? = nil) async throws {
        for question in questions {
            let outcome = try await asker.visitor.measure(question.visit)
            asker.tally.judge(outcome.result, of: asker.pod.uid, as: question.expectation)
            if question.isMeasured { ledger?.record(outcome, kept: question.visit.manner == .keptConnection) }
            if pause > .zero { try await Task.sleep(for: pause) }
        }
    }
}
