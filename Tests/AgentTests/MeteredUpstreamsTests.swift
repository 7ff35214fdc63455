import Attribution
import Operations
import Synchronization
import Telemetry
import Testing
import Tokens

@Suite struct MeteredUpstreamsTests {
    private let upstream = ScriptedUpstream()
    private let metered: MeteredUpstreams
    private let subject = SubjectToken(token: SecretToken("jwt"), lifetime: .seconds(3600))

    init() {
        metered = MeteredUpstreams(
            issuer: upstream, accounts: upstream, exchanger: upstream, clouds: [ScriptedCloud(upstream: upstream)])
    }

    @Test("each call is passed on, and counted and timed at the upstream that it goes to")
    func calls() async throws {
        let uid = try #require(PodUID("11111111-1111-4111-8111-111111111111"))
        let pod = PodRecord(uid: uid, namespace: "team", name: "web", serviceAccountName: "app")
        let issued = try await metered.issueSubjectToken(for: pod, serviceAccountUID: "u", audience: .tokenExchange)
        #expect(issued.token.exposed == "subject")
        let account = try await metered.serviceAccount(ServiceAccountReference(of: pod))
        #expect(account.uid == "account")
        let federated = try await metered.exchange(issued, scopes: .default)
        #expect(federated.token.exposed == "federated")
        let access = try await metered.accessToken(as: "a", scopes: .default, quotaProject: nil, federated: federated)
        let identity = try await metered.identityToken(
            as: "a", audience: "b", quotaProject: nil, federated: federated)
        #expect(access.token.exposed == "access" && identity.token.exposed == "identity")
        let cloud = try #require(metered.clouds.first)
        let credential = try await cloud.exchange(issued, for: CredentialRequest(pod: pod))
        #expect(credential.token.exposed == "cloud" && cloud.cloud.rawValue == "aws")
        #expect(metered.clouds.count == 1)

        let expected: [(String, UInt64)] = [("kubernetes", 2), ("sts", 1), ("iam", 2), ("aws", 1)]
        let succeeded = expected.map { MetricSample([$0.0, "succeeded"], .integer($0.1)) }
        let samples = metered.meters.calls
        #expect(samples.filter { $0.value != .integer(0) } == succeeded)
        // One of each kind of failure, though there was none.
        #expect(samples.count == expected.count * (1 + UpstreamFailure.Kind.allCases.count))
        let durations = metered.meters.durations
        #expect(durations.map(\.labels) == expected.map { [$0.0] })
        #expect(durations.map { Self.observations($0) } == expected.map { $0.1 })
        #expect(metered.meters.outages.isEmpty)
    }

    @Test(
        "a failure is passed on and counted by its kind, and one without an answer is an outage until the next answer",
        arguments: UpstreamFailure.Kind.allCases)
    func failure(kind: UpstreamFailure.Kind) async throws {
        let failure = UpstreamFailure(upstream: .securityTokenService, kind: kind, message: "told so")
        upstream.fail(failure)
        let thrown = await #expect(throws: UpstreamFailure.self) {
            try await metered.exchange(subject, scopes: .default)
        }
        #expect(thrown == failure)
        let counted = metered.meters.calls.filter { $0.value != .integer(0) }
        #expect(counted == [MetricSample(["sts", MetricLabel.snakeCase(kind.rawValue)], .integer(1))])
        let outages = metered.meters.outages
        if kind == .unavailable || kind == .rateLimited {
            #expect(Array(outages.keys) == ["sts"] && outages["sts"]?.hasPrefix("told so, ") == true)
        } else {
            #expect(outages.isEmpty)
        }

        // An answer of another upstream says nothing of this one.
        upstream.fail(nil)
        let federated = UpstreamToken(token: SecretToken("federated"), lifetime: .seconds(3600))
        _ = try await metered.accessToken(as: "a", scopes: .default, quotaProject: nil, federated: federated)
        #expect(metered.meters.outages.count == outages.count)
        // A final no is an answer.
        upstream.fail(UpstreamFailure(upstream: .securityTokenService, kind: .denied, message: "no"))
        await #expect(throws: UpstreamFailure.self) { try await metered.exchange(subject, scopes: .default) }
        #expect(metered.meters.outages.isEmpty)
    }

    private static func observations(_ sample: MetricSample) -> UInt64 {
        guard case .histogram(let snapshot) = sample.value else { return 0 }
        return snapshot.buckets.reduce(snapshot.above) { $0 + $1.count }
    }
}

/// Answers each call with a token that names it, or fails as told.
private final class ScriptedUpstream: SubjectTokenIssuing, ServiceAccountReading, TokenExchanging {
    private let failure = Mutex<UpstreamFailure?>(nil)

    func fail(_ failure: UpstreamFailure?) {
        self.failure.withLock { $0 = failure }
    }

    func token(_ name: String) throws(UpstreamFailure) -> UpstreamToken {
        if let failure = failure.withLock({ $0 }) { throw failure }
        return UpstreamToken(token: SecretToken(name), lifetime: .seconds(3600))
    }

    func issueSubjectToken(
        for pod: PodRecord, serviceAccountUID: String, audience: SubjectAudience
    ) async throws(UpstreamFailure) -> SubjectToken {
        let issued = try token("subject")
        return SubjectToken(token: issued.token, lifetime: issued.lifetime)
    }

    func serviceAccount(_ reference: ServiceAccountReference) async throws(UpstreamFailure) -> ServiceAccountRecord {
        let issued = try token("account")
        return ServiceAccountRecord(
            namespace: reference.namespace, name: reference.name, uid: issued.token.exposed)
    }

    func exchange(_ subject: SubjectToken, scopes: ScopeSet) async throws(UpstreamFailure) -> UpstreamToken {
        try token("federated")
    }

    func accessToken(
        as account: String, scopes: ScopeSet, quotaProject: String?, federated: UpstreamToken
    ) async throws(UpstreamFailure) -> UpstreamToken {
        try token("access")
    }

    func identityToken(
        as account: String, audience: String, quotaProject: String?, federated: UpstreamToken
    ) async throws(UpstreamFailure) -> UpstreamToken {
        try token("identity")
    }
}

private struct ScriptedCloud: CloudCredentialExchanging {
    let service: ScriptedUpstream
    let cloud = CloudName("aws")
    let lifetimes = TokenServiceConfiguration.TokenPolicy()
    let subjectAudience = SubjectAudience.cloud("sts.amazonaws.com")

    init(upstream: ScriptedUpstream) {
        service = upstream
    }

    func exchange(
        _ subject: SubjectToken, for request: CredentialRequest
    ) async throws(UpstreamFailure) -> UpstreamToken {
        try service.token("cloud")
    }
}
