import KubernetesAPI
import Tokens

/// The times at which a call that failed may be made again: the lower edges of the agent's schedules, of which jitter
/// makes nothing shorter.
extension World {
    /// The shortest pause that a first refusal of a quota teaches.
    private static let shortestPace = PacingPolicy().firstPause * 0.5
    /// The pauses within a fetch, and between lists or watches.
    private static let withinFetch = Backoff(shortest: limits.retryPause, longest: limits.retryBudget)
    private static let ofWatcher = Backoff(
        shortest: PodWatcher.Options().shortestPause, longest: PodWatcher.Options().longestPause)
    /// The pauses where the API server does not know the node's pods yet. This one has no jitter.
    private static let ofMissing = Backoff(shortest: .milliseconds(50), longest: .seconds(1))

    /// How much too early a call comes after one that failed; `nil`: it may come.
    func haste(of entry: CallEntry, after failure: CallFailure, _ agent: SimulatedAgent?) -> Duration? {
        if now < failure.notBefore { return failure.notBefore - now }
        let left = failure.at + pause(before: entry, after: failure) - now
        guard left > .zero, !isExcused(entry, after: failure, agent) else { return nil }
        return left
    }

    /// Whether a call repeats, within its fetch, the one that failed. A fetch whose upstream refused it because there were too many
    /// begins again, at its pace.
    func repeats(_ entry: CallEntry, _ failure: CallFailure) -> Bool {
        guard entry.fetch == failure.fetch else { return false }
        return !(entry.isPaced && failure.status == 429 && entry.startedAt - failure.at >= Self.shortestPace)
    }

    /// The shortest pause, be there no `Retry-After`.
    private func pause(before entry: CallEntry, after failure: CallFailure) -> Duration {
        if entry.kind == .list || entry.kind == .watch { return Self.ofWatcher.pause(after: failure.inFetch) * 0.5 }
        let isRefused = entry.isPaced && failure.status == 429
        if entry.fetch == failure.fetch {
            if failure.missing > 0 { return Self.ofMissing.pause(after: failure.missing) }
            let pause = Self.withinFetch.pause(after: failure.inFetch) * 0.5
            return isRefused ? min(pause, Self.shortestPace) : pause
        }
        if isRefused { return Self.shortestPace }
        let policy = entry.kind == .account ? Self.limits.serviceAccounts.failures : Self.limits.tokens.failures
        return policy.shortestPause(after: failure.fetches, isFinal: failure.isFinal)
    }

    /// Whether the call may be another token's than the one that failed, or bound by its schedule no more.
    private func isExcused(_ entry: CallEntry, after failure: CallFailure, _ agent: SimulatedAgent?) -> Bool {
        if let pod = entry.podIndex.map({ cluster.pods[$0] }) {
            // The tokens of a greedy pod displace each other, with what is remembered of their failures.
            if pod.isGreedy, entry.fetch != failure.fetch { return true }
            // An agent that learns of a change makes the same call for another token.
            let account = cluster.account(pod.namespace, pod.account).map { cluster.accounts[$0] }
            if let change = account?.past.last?.end, change >= failure.at - failure.accountAge { return true }
        }
        // Another call's success has shown that the quota is free.
        guard failure.status == 429, entry.isPaced, let agent else { return false }
        let upstream: UpstreamFailure.Upstream =
            entry.destination == .iamCredentials ? .iamCredentials : .securityTokenService
        return agent.tokens.pacedQuotas().contains { $0.upstream == upstream && !$0.isSpacing }
    }
}

extension FailurePolicy {
    /// The shortest pause between two fetches of one thing, of which so many in a row have failed.
    fileprivate func shortestPause(after fetches: Int, isFinal: Bool) -> Duration {
        // A final failure is remembered for a fifth less than its time at the shortest.
        let memory = isFinal ? finalFailure * 0.8 : transientFailure
        if isFinal, finalFailureDiscardsValue { return memory }
        // While there is a value to serve, the refresh pauses instead.
        let backoff = Backoff(shortest: firstRefreshPause, longest: longestRefreshPause)
        return min(memory, backoff.pause(after: fetches) * 0.5)
    }
}
