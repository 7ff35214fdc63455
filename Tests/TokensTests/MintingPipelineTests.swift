import Attribution
import Testing

@testable import Tokens

@Suite(.timeLimit(.minutes(10))) struct MintingPipelineTests {
    private let upstream = FakeUpstream()
    private let clock = SkippingClock()
    private let pod = PodRecord.sample()

    private var pipeline: MintingPipeline {
        MintingPipeline(
            issuer: upstream, accounts: upstream, exchanger: upstream, clouds: [:], clock: clock, jitter: { 1 },
            configuration: TokenServiceConfiguration())
    }

    private func fetch(_ kind: TokenKey.Kind, as account: ServiceAccountRecord = .direct) -> TokenFetch {
        let key = TokenKey(pod: pod.uid, account: account, kind: kind)
        let federated = MintedToken(
            token: SecretToken("fed|\(pod.uid)|0"), issuedAt: clock.now, expiresAt: clock.now + .seconds(1800))
        return TokenFetch(
            id: FetchID(rawValue: 1), key: key, pod: pod, federated: key.federation == nil ? nil : federated,
            waitingSince: .now, startedAt: .now)
    }

    private func mint(_ fetch: TokenFetch) async throws(UpstreamFailure) -> MintedToken {
        try await pipeline.mint(fetch) { _ in }
    }

    private func failure(of fetch: TokenFetch) async -> UpstreamFailure? {
        do throws(UpstreamFailure) {
            _ = try await mint(fetch)
            return nil
        } catch {
            return error
        }
    }

    @Test func aFederatedTokenTakesOneSubjectAndOneExchange() async throws {
        let scopes = ScopeSet(["https://www.googleapis.com/auth/devstorage.read_only"])
        let token = try await mint(fetch(.accessToken(scopes)))
        #expect(token.token.exposed == "fed|\(PodRecord.sample().uid)|2")
        #expect(upstream.calls.map(\.step) == [.subject, .exchange])
        #expect(upstream.calls[0].account == "sa-uid-1")
        #expect(upstream.calls[1].scopes == scopes)
        #expect(upstream.calls[1].presented == "jwt|\(PodRecord.sample().uid)|1")
    }

    @Test func impersonationIsAuthorizedByACloudPlatformTokenAndAsksForTheWantedScopes() async throws {
        let account = ServiceAccountRecord.sample(impersonating: "gsa@p", quotaProject: "billed")
        _ = try await mint(fetch(.accessToken(.default), as: account))
        var federation = fetch(.federation)
        federation.key = try #require(TokenKey(pod: pod.uid, account: account, kind: .accessToken(.default)).federation)
        _ = try await mint(federation)
        #expect(
            upstream.calls[0]
                == FakeUpstream.Call(
                    step: .accessToken, subject: PodRecord.sample().uid.description, scopes: .default, account: "gsa@p",
                    quotaProject: "billed", presented: "fed|\(PodRecord.sample().uid)|0"))
        #expect(upstream.calls.last?.scopes == MintingPipeline.federationScopes)
    }

    @Test func identityTokensCarryTheAudience() async throws {
        _ = try await mint(fetch(.identityToken(audience: "https://x"), as: .impersonating))
        #expect(upstream.calls.map(\.audience) == ["https://x"])
    }

    @Test(arguments: [(3600, 3600, 3600), (900, 3600, 900), (3600, 1200, 1200)])
    func aFederatedTokenEndsWithItsSubject(_ subject: Int, _ answer: Int, _ life: Int) async throws {
        upstream.setLifetime(.seconds(subject), of: .subject)
        upstream.setLifetime(.seconds(answer), of: .exchange)
        let token = try await mint(fetch(.accessToken(.default)))
        #expect(token.expiresAt - token.issuedAt == .seconds(life))
    }

    @Test func aStaleSubjectIsReplacedOnceByANewOne() async throws {
        upstream.failNext(.exchange, with: .sts(.staleSubjectToken, 400, "invalid_grant"))
        _ = try await mint(fetch(.accessToken(.default)))
        let presented = upstream.calls.compactMap(\.presented)
        #expect(presented.count == 2)
        #expect(presented[0] != presented[1])
    }

    @Test func aSubjectThatIsStaleTwiceIsAFailure() async {
        upstream.fail(.exchange, with: .sts(.staleSubjectToken, 400, "invalid_grant"))
        #expect(await failure(of: fetch(.accessToken(.default)))?.kind == .staleSubjectToken)
        #expect(upstream.count(.subject) == 2)
        #expect(upstream.count(.exchange) == 2)
    }

    @Test(arguments: [429, 500, 503]) func transientAnswersAreRepeatedWithinTheBudget(_ status: Int) async throws {
        let kind: UpstreamFailure.Kind = status == 429 ? .rateLimited : .unavailable
        upstream.failNext(.exchange, with: .sts(kind, status), .sts(kind, status))
        upstream.failNext(.subject, with: .kubernetes(kind, status))
        _ = try await mint(fetch(.accessToken(.default)))
        #expect(clock.sleeps == [.milliseconds(100), .milliseconds(100), .milliseconds(200)])
        #expect(upstream.count(.exchange) == 3)
        #expect(Set(upstream.calls.compactMap(\.presented)).count == 1)
    }

    @Test func aQuotaThatIsKnownToBeUsedUpIsNotAskedAgainWithinTheFetch() async {
        upstream.fail(.exchange, with: .sts(.rateLimited, 429))
        var fetch = fetch(.accessToken(.default))
        fetch.isSpaced = true
        #expect(await failure(of: fetch)?.kind == .rateLimited)
        #expect(upstream.count(.exchange) == 1)
    }

    @Test func iamIsRepeatedWithTheSameFederatedToken() async throws {
        upstream.failNext(.accessToken, with: .iam(.unavailable, 503), .iam(.rateLimited, 429))
        _ = try await mint(fetch(.accessToken(.default), as: .impersonating))
        #expect(upstream.calls.map(\.presented) == Array(repeating: "fed|\(PodRecord.sample().uid)|0", count: 3))
    }

    @Test(arguments: [UpstreamFailure.Kind.denied, .notFound, .misconfigured])
    func refusalsAreNotRepeated(_ kind: UpstreamFailure.Kind) async {
        upstream.fail(.exchange, with: .sts(kind, 400))
        #expect(await failure(of: fetch(.accessToken(.default))) == .sts(kind, 400))
        #expect(upstream.count(.exchange) == 1)
        #expect(clock.sleeps.isEmpty)
    }

    @Test func anEndlessOutageEndsTheFetchWithinItsBudget() async {
        upstream.fail(.subject, with: .kubernetes(.unavailable))
        #expect(await failure(of: fetch(.accessToken(.default)))?.kind == .unavailable)
        #expect(upstream.count(.subject) == 5)
        #expect(clock.sleeps.reduce(.zero, +) <= .seconds(2))
    }

    @Test(arguments: [FakeUpstream.Step.subject, .exchange])
    func emptyTokensAreNoAnswer(_ step: FakeUpstream.Step) async {
        upstream.setAnswer("", of: step)
        #expect(await failure(of: fetch(.accessToken(.default)))?.kind == .unavailable)
    }

    @Test(arguments: [0, -5]) func tokensThatHaveEndedAreNoAnswer(_ life: Int) async {
        upstream.setLifetime(.seconds(life), of: .accessToken)
        let failure = await failure(of: fetch(.accessToken(.default), as: .impersonating))
        #expect(failure?.kind == .unavailable)
        #expect(failure?.upstream == .iamCredentials)
    }
}
