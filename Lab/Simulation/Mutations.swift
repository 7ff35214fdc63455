import Attribution
import GoogleTokenExchange
import KubernetesAPI
import Logging
import MetadataProtocol
import MetadataServer
import Tokens

/// The upstream clients with the bug that was asked for; without one, the clients themselves. Bugs of the agent's answers are here as well.
final class Mutated: SubjectTokenIssuing, ServiceAccountReading, TokenExchanging, @unchecked Sendable {
    private let kubernetes: KubernetesClient
    private let google: GoogleTokenService
    private let logger: Logger
    private let world: World
    private let node: SimulatedNode
    private var accounts: [ServiceAccountReference: (record: ServiceAccountRecord, at: ContinuousClock.Instant)] = [:]
    private var exchanged: [String: UpstreamToken] = [:]
    /// The latest token of STS, for bugs that show it.
    private var latest = ""
    /// The tokens that all pods of the node may ask for together, for a bug.
    private var shared: RateBucket?

    init(kubernetes: KubernetesClient, google: GoogleTokenService, logger: Logger, world: World, node: SimulatedNode) {
        (self.kubernetes, self.google, self.logger) = (kubernetes, google, logger)
        (self.world, self.node) = (world, node)
    }

    var configuration: TokenServiceConfiguration {
        var configuration = TokenServiceConfiguration()
        if world.options.mutation == .failuresKept {
            configuration.tokens.failures.transientFailure = .seconds(3_600)
        }
        if world.options.mutation == .failuresKeptTooLong {
            configuration.tokens.failures.transientFailure = .seconds(30)
        }
        if world.options.mutation == .waitsUnbounded { configuration.waitLimit = .seconds(600) }
        return configuration
    }

    func issueSubjectToken(
        for pod: PodRecord, serviceAccountUID: String, audience: SubjectAudience
    ) async throws(UpstreamFailure) -> SubjectToken {
        let uid = world.options.mutation == .accountUIDNotPinned ? "" : serviceAccountUID
        return try await changed { () async throws(UpstreamFailure) in
            if world.options.mutation == .tokenRequestsDoubled {
                async let second = kubernetes.issueSubjectToken(for: pod, serviceAccountUID: uid, audience: audience)
                let first = try await kubernetes.issueSubjectToken(
                    for: pod, serviceAccountUID: uid, audience: audience)
                _ = try? await second
                return first
            }
            return try await kubernetes.issueSubjectToken(for: pod, serviceAccountUID: uid, audience: audience)
        }
    }

    func serviceAccount(
        _ reference: ServiceAccountReference
    ) async throws(UpstreamFailure) -> ServiceAccountRecord {
        if world.options.mutation == .accountsKept, let known = accounts[reference],
            world.now - known.at < .seconds(3_600)
        {
            return known.record
        }
        let record = try await changed { () async throws(UpstreamFailure) in
            try await kubernetes.serviceAccount(reference)
        }
        accounts[reference] = (record, world.now)
        return record
    }

    func exchange(_ subject: SubjectToken, scopes: ScopeSet) async throws(UpstreamFailure) -> UpstreamToken {
        let account = world.grants[subject.token.exposed]?.account ?? ""
        let key = account + scopes.sorted.joined(separator: " ")
        if world.options.mutation == .tokensShared, let token = exchanged[key] { return token }
        let token = try await changed { () async throws(UpstreamFailure) in
            if world.options.mutation == .exchangesDoubled {
                async let second = google.exchange(subject, scopes: scopes)
                _ = try? await second
            }
            return try await google.exchange(subject, scopes: scopes)
        }
        exchanged[key] = token
        latest = token.token.exposed
        if world.options.mutation == .tokensLogged { logger.debug("token exchanged", metadata: ["token": "\(latest)"]) }
        return doubled(token)
    }

    func accessToken(
        as account: String, scopes: ScopeSet, quotaProject: String?, federated: UpstreamToken
    ) async throws(UpstreamFailure) -> UpstreamToken {
        let token = try await changed { () async throws(UpstreamFailure) in
            try await google.accessToken(as: account, scopes: scopes, quotaProject: quotaProject, federated: federated)
        }
        return byCalendar(doubled(token))
    }

    func identityToken(
        as account: String, audience: String, quotaProject: String?, federated: UpstreamToken
    ) async throws(UpstreamFailure) -> UpstreamToken {
        let token = try await changed { () async throws(UpstreamFailure) in
            try await google.identityToken(
                as: account, audience: audience, quotaProject: quotaProject, federated: federated)
        }
        return byCalendar(doubled(token))
    }

    private func doubled(_ token: UpstreamToken) -> UpstreamToken {
        guard world.options.mutation == .lifetimesDoubled else { return token }
        return UpstreamToken(token: token.token, lifetime: token.lifetime * 2)
    }

    /// The end that IAM names, less the node's calendar rather than IAM's own.
    private func byCalendar(_ token: UpstreamToken) -> UpstreamToken {
        guard world.options.mutation == .lifetimesByNodeClock else { return token }
        let ahead = Duration.seconds(world.iamTime - world.googleTime) - node.calendarOffset
        return UpstreamToken(token: token.token, lifetime: token.lifetime + ahead)
    }

    private func changed<Value>(
        _ call: () async throws(UpstreamFailure) -> Value
    ) async throws(UpstreamFailure) -> Value {
        let neverGrows = world.options.mutation == .pausesNeverGrow
        var attempts = neverGrows ? 4 : world.options.mutation == .retriesAtOnce ? 3 : 1
        while true {
            attempts -= 1
            do throws(UpstreamFailure) {
                return try await call()
            } catch {
                if neverGrows, attempts > 0, error.retryAfter == nil {
                    await world.wait(.milliseconds(60))
                    continue
                }
                if !neverGrows, attempts > 0 { continue }
                var failure = error
                if world.options.mutation == .retryAfterIgnored { failure.retryAfter = nil }
                throw failure
            }
        }
    }
}

extension Mutated {
    /// Counts a token that a pod asks for, where a bug counts those of all pods together.
    func charge() throws(TokenFailure) {
        guard world.options.mutation == .limitsShared else { return }
        let limits = TokenServiceConfiguration()
        var bucket =
            shared ?? RateBucket(rate: limits.fetchRatePerPod, burst: limits.fetchBurstPerPod, now: world.now)
        let pause = bucket.take(at: world.now)
        shared = bucket
        if let pause { throw .limited(reason: "the node asks for too many tokens", retryAfter: pause) }
    }

    /// The answer, or what a bug makes of it.
    func mutated(_ answer: Response) -> Response {
        guard let mutation = world.options.mutation, answer.cause != nil, case .text(let text) = answer.body else {
            return answer
        }
        var answer = answer
        switch mutation {
        case .statusesInvented where answer.status == .serviceUnavailable: answer.status = .requestTimeout
        // Right behind a letter: nothing on the way redacts it there.
        case .refusalsShowTokens where !latest.isEmpty: answer.body = .text("\(text) token\(latest)")
        default: break
        }
        return answer
    }
}

extension World {
    /// The identification, or what a bug makes of it.
    func mutated(_ identification: Identification, on node: SimulatedNode) -> Identification {
        switch (options.mutation, identification) {
        case (.attributedByName?, .caller(let caller)):
            let other = cluster.pods.last {
                $0.node == node.number && $0.account == caller.pod.serviceAccountName && $0.isListed
            }
            guard let other, var record = node.agent?.directory.record(for: other.uid) else { return identification }
            record.phase = .running
            return .caller(Caller(pod: record, containerID: nil, cgroupID: caller.cgroupID))
        case (.finishedPodsServed?, .refused(.podFinished(let namespace, let name, _))):
            let pod = cluster.pods.last { $0.namespace == namespace && $0.name == name }
            guard let pod, let record = node.agent?.directory.record(for: pod.uid) else { return identification }
            return .caller(Caller(pod: record, containerID: nil, cgroupID: pod.cgroup))
        case (.mirrorsBelieved?, .caller(let caller)):
            let mirror = cluster.pods.last { $0.claimed == caller.pod.uid && $0.isListed && $0.node == node.number }
            guard let mirror, let directory = node.agent?.directory,
                var record = directory.snapshot().first(where: { $0.uid == mirror.uid })
            else { return identification }
            (record.phase, record.staticPodConfigHash) = (.running, nil)
            return .caller(Caller(pod: record, containerID: nil, cgroupID: caller.cgroupID))
        default: return identification
        }
    }
}
