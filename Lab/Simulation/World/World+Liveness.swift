import Tokens
import VirtualTime

/// The identities that pods must get once the world is at rest.
extension World {
    /// How long after the faults a node may space its calls to a quota at most: the pauses of `PacingPolicy` from the longest to none,
    /// each half as long again, 190 s for each of two quotas.
    private static let longestSpacing = Duration.seconds(380)
    private static let pause = Duration.seconds(5)

    /// Asks for a pod's identity, which the pod can have.
    func demandIdentity(of index: Int) {
        var request = ClientRequest(kind: .access(scopes: nil), mustSucceed: true)
        request.isSpaced = spacesCalls(for: cluster.pods[index])
        send(request, from: index)
    }

    /// Asks once more for an identity that a pod did not get, where its agent spaces the calls that it takes.
    ///
    /// The agent is asked, not a clock: an agent without calls keeps its pace.
    func demandsAgain(_ request: ClientRequest, of pod: SimulatedPod) -> Bool {
        guard request.isSpaced || spacesCalls(for: pod), let quietSince, now < quietSince + Self.longestSpacing else {
            return false
        }
        lastDemand = now + Self.pause
        timeline.after(Self.pause) { self.demandIdentity(of: pod.index) }
        return true
    }

    /// Whether the node's agent spaces calls to a quota that a token of this pod takes from.
    private func spacesCalls(for pod: SimulatedPod) -> Bool {
        guard let agent = nodes[pod.node].agent else { return false }
        let email = cluster.account(pod.namespace, pod.account).flatMap { cluster.accounts[$0].state?.email }
        return agent.tokens.pacedQuotas().contains { quota in
            guard quota.isSpacing else { return false }
            return switch (quota.upstream, quota.target) {
            case (.securityTokenService, _): true
            case (.iamCredentials, .googleServiceAccount(let account)?): account == email
            default: false
            }
        }
    }
}
