package import Attribution
import Synchronization

/// One attempt to mint a pod's access token, made past every cache for an operator who wants to know how far it comes.
package struct TokenTrial: Sendable {
    /// The upstream steps, in their order.
    package enum Step: String, Sendable, CaseIterable {
        case serviceAccount
        case tokenRequest
        case exchange
        case impersonation
    }

    package struct Attempt: Sendable {
        package var step: Step
        package var duration: Duration
        /// `nil`: it worked.
        package var failure: UpstreamFailure?
    }

    /// The ServiceAccount, if it could be read.
    package var account: ServiceAccountRecord?
    /// The steps that were tried, in order. Only the last can have failed.
    package var attempts: [Attempt]
    /// The remaining life of the final token; `nil` if there is none.
    package var lifetime: Duration?
}

extension TokenService {
    /// Mints a token for `pod` as a request without scopes would, but without the cache, its remembered failures and
    /// the pod's limits. The token is dropped. Each mint is reported like any other.
    ///
    /// Takes as long as its upstreams; each of their calls ends by itself.
    package func tryMinting(for pod: PodRecord) async -> TokenTrial {
        let log = TrialLog(clock: clock)
        do throws(UpstreamFailure) {
            log.begin(.serviceAccount)
            let account = try await pipeline.readServiceAccount(ServiceAccountReference(of: pod)) { _ in }
            log.account = account
            let key = TokenKey(pod: pod.uid, account: account, kind: .accessToken(.default))
            var federated: MintedToken?
            if let federation = key.federation { federated = try await tryMinting(federation, pod, nil, log) }
            let token = try await tryMinting(key, pod, federated, log)
            return log.ended(lifetime: token.expiresAt - clock.now)
        } catch {
            return log.failed(error)
        }
    }

    /// The same for a credential of another cloud that `account` names.
    package func tryMinting(
        _ credential: CloudCredential, for pod: PodRecord, account: ServiceAccountRecord
    ) async -> TokenTrial {
        let log = TrialLog(clock: clock)
        log.account = account
        do throws(UpstreamFailure) {
            let key = TokenKey(pod: pod.uid, account: account, credential: credential)
            let token = try await tryMinting(key, pod, nil, log)
            return log.ended(lifetime: token.expiresAt - clock.now)
        } catch {
            return log.failed(error)
        }
    }

    private func tryMinting(
        _ key: TokenKey, _ pod: PodRecord, _ federated: MintedToken?, _ log: TrialLog
    ) async throws(UpstreamFailure) -> MintedToken {
        let startedAt = clock.now
        let fetch = TokenFetch(
            id: FetchID(rawValue: 0), key: key, pod: pod, federated: federated, waitingSince: startedAt,
            startedAt: startedAt)
        let report = { (result: Result<MintedToken, UpstreamFailure>) in
            let failure: UpstreamFailure? = if case .failure(let failure) = result { failure } else { nil }
            self.observer(
                TokenFetchReport(
                    pod: pod, key: key, failure: failure, duration: self.clock.now - startedAt,
                    subjectID: try? result.get().subjectID))
        }
        do throws(UpstreamFailure) {
            let token = try await pipeline.mint(fetch) { progress in
                if case .stage(let stage) = progress { log.entered(stage) }
            }
            report(.success(token))
            return token
        } catch {
            report(.failure(error))
            throw error
        }
    }
}

/// The steps of one trial as they begin and end.
private final class TrialLog: Sendable {
    private struct Storage {
        var account: ServiceAccountRecord?
        var attempts: [TokenTrial.Attempt] = []
        var current: (step: TokenTrial.Step, since: ContinuousClock.Instant)?
    }

    private let clock: any TokenClock
    private let storage = Mutex(Storage())

    init(clock: any TokenClock) {
        self.clock = clock
    }

    var account: ServiceAccountRecord? {
        get { storage.withLock { $0.account } }
        set { storage.withLock { $0.account = newValue } }
    }

    func entered(_ stage: FetchStage) {
        switch stage {
        case .queue: break
        case .serviceAccount: begin(.serviceAccount)
        case .tokenRequest: begin(.tokenRequest)
        case .exchange, .cloudExchange: begin(.exchange)
        case .impersonation: begin(.impersonation)
        }
    }

    func begin(_ step: TokenTrial.Step) {
        let now = clock.now
        storage.withLock { storage in
            Self.end(&storage, at: now, failure: nil)
            // A second subject token for the same exchange counts as one attempt with the first.
            storage.attempts.removeAll { $0.step == step }
            storage.current = (step, now)
        }
    }

    func failed(_ failure: UpstreamFailure) -> TokenTrial {
        finish(failure: failure, lifetime: nil)
    }

    func ended(lifetime: Duration) -> TokenTrial {
        finish(failure: nil, lifetime: lifetime)
    }

    private func finish(failure: UpstreamFailure?, lifetime: Duration?) -> TokenTrial {
        let now = clock.now
        return storage.withLock { storage in
            Self.end(&storage, at: now, failure: failure)
            return TokenTrial(account: storage.account, attempts: storage.attempts, lifetime: lifetime)
        }
    }

    private static func end(_ storage: inout Storage, at now: ContinuousClock.Instant, failure: UpstreamFailure?) {
        guard let (step, since) = storage.current else { return }
        storage.attempts.append(TokenTrial.Attempt(step: step, duration: now - since, failure: failure))
        storage.current = nil
    }
}
