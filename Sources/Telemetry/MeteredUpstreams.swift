package import Attribution
package import Operations
import Synchronization
package import Tokens

/// Counts and times every call for a token or a ServiceAccount, and passes it on.
package struct MeteredUpstreams: SubjectTokenIssuing, ServiceAccountReading, TokenExchanging {
    let issuer: any SubjectTokenIssuing
    let accounts: any ServiceAccountReading
    let exchanger: any TokenExchanging
    package let clouds: [any CloudCredentialExchanging]
    package let meters: UpstreamMeters

    package init(
        issuer: any SubjectTokenIssuing, accounts: any ServiceAccountReading, exchanger: any TokenExchanging,
        clouds: [any CloudCredentialExchanging]
    ) {
        let meters = UpstreamMeters(UpstreamFailure.Upstream.always + clouds.map(\.upstream))
        self.issuer = issuer
        self.accounts = accounts
        self.exchanger = exchanger
        self.clouds = clouds.map { MeteredCloud(exchanger: $0, meters: meters) }
        self.meters = meters
    }

    package func issueSubjectToken(
        for pod: PodRecord, serviceAccountUID: String, audience: SubjectAudience
    ) async throws(UpstreamFailure) -> SubjectToken {
        try await meters.measure(.kubernetes) { () async throws(UpstreamFailure) in
            try await issuer.issueSubjectToken(for: pod, serviceAccountUID: serviceAccountUID, audience: audience)
        }
    }

    package func serviceAccount(_ reference: ServiceAccountReference) async throws(UpstreamFailure)
        -> ServiceAccountRecord
    {
        try await meters.measure(.kubernetes) { () async throws(UpstreamFailure) in
            try await accounts.serviceAccount(reference)
        }
    }

    package func exchange(_ subject: SubjectToken, scopes: ScopeSet) async throws(UpstreamFailure) -> UpstreamToken {
        try await meters.measure(.securityTokenService) { () async throws(UpstreamFailure) in
            try await exchanger.exchange(subject, scopes: scopes)
        }
    }

    package func accessToken(
        as account: String, scopes: ScopeSet, quotaProject: String?, federated: UpstreamToken
    ) async throws(UpstreamFailure) -> UpstreamToken {
        try await meters.measure(.iamCredentials) { () async throws(UpstreamFailure) in
            try await exchanger.accessToken(
                as: account, scopes: scopes, quotaProject: quotaProject, federated: federated)
        }
    }

    package func identityToken(
        as account: String, audience: String, quotaProject: String?, federated: UpstreamToken
    ) async throws(UpstreamFailure) -> UpstreamToken {
        try await meters.measure(.iamCredentials) { () async throws(UpstreamFailure) in
            try await exchanger.identityToken(
                as: account, audience: audience, quotaProject: quotaProject, federated: federated)
        }
    }
}

/// The same for the token service of another cloud.
private struct MeteredCloud: CloudCredentialExchanging {
    let exchanger: any CloudCredentialExchanging
    let meters: UpstreamMeters

    var cloud: CloudName { exchanger.cloud }
    var lifetimes: TokenServiceConfiguration.TokenPolicy { exchanger.lifetimes }
    var subjectAudience: SubjectAudience { exchanger.subjectAudience }
    var endsWithSubject: Bool { exchanger.endsWithSubject }

    func exchange(
        _ subject: SubjectToken, for request: CredentialRequest
    ) async throws(UpstreamFailure) -> UpstreamToken {
        try await meters.measure(upstream) { () async throws(UpstreamFailure) in
            try await exchanger.exchange(subject, for: request)
        }
    }
}

/// How calls to each upstream ended, and how long they took.
package struct UpstreamMeters: Sendable {
    private struct Meter: Sendable {
        let succeeded = MetricCounter()
        let failed = CounterTable<UpstreamFailure.Kind>()
        let duration = LatencyHistogram()
        let outage = Outage()
    }

    /// Why the latest call to one upstream failed, if the fault is the upstream's or the way's.
    private final class Outage: Sendable {
        private let state = Mutex<(message: String, at: ContinuousClock.Instant)?>(nil)

        func succeeded() {
            state.withLock { $0 = nil }
        }

        func failed(_ failure: UpstreamFailure) {
            // Every other failure is an answer, and about one pod.
            guard failure.kind == .unavailable || failure.kind == .rateLimited else { return succeeded() }
            state.withLock { $0 = (failure.message, .now) }
        }

        var text: String? {
            state.withLock { $0 }.map { "\($0.message), \((ContinuousClock.now - $0.at).components.seconds) s ago" }
        }
    }

    package let upstreams: [UpstreamFailure.Upstream]
    private let meters: [UpstreamFailure.Upstream: Meter]

    init(_ upstreams: [UpstreamFailure.Upstream]) {
        self.upstreams = upstreams
        meters = Dictionary(upstreams.map { ($0, Meter()) }) { first, _ in first }
    }

    func measure<Value: Sendable>(
        _ upstream: UpstreamFailure.Upstream, _ call: () async throws(UpstreamFailure) -> Value
    ) async throws(UpstreamFailure) -> Value {
        let start = ContinuousClock.now
        defer { meters[upstream]?.duration.observe(ContinuousClock.now - start) }
        do {
            let value = try await call()
            meters[upstream]?.succeeded.increment()
            meters[upstream]?.outage.succeeded()
            return value
        } catch {
            meters[upstream]?.failed.increment(error.kind)
            meters[upstream]?.outage.failed(error)
            throw error
        }
    }

    /// The upstreams whose latest call failed for want of an answer, with the reason.
    package var outages: [String: String] {
        meters.reduce(into: [:]) { $0[$1.key.rawValue] = $1.value.outage.text }
    }

    package var calls: [MetricSample] {
        upstreams.flatMap { upstream -> [MetricSample] in
            guard let meter = meters[upstream] else { return [] }
            return [MetricSample([upstream.rawValue, "succeeded"], .integer(meter.succeeded.current))]
                + meter.failed.samples.map { MetricSample([upstream.rawValue] + $0.labels, $0.value) }
        }
    }

    package var durations: [MetricSample] {
        upstreams.compactMap { upstream in
            meters[upstream].map { MetricSample([upstream.rawValue], .histogram($0.duration.snapshot)) }
        }
    }
}
