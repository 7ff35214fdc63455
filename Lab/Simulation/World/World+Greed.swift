import Attribution
import MetadataProtocol

/// Greedy pods, and what the others get beside them.
extension World {
    /// Asks for twice as many new tokens as a pod may have at once.
    func askGreedily(_ index: Int) {
        for number in 0..<40 {
            send(
                ClientRequest(kind: .identity(audience: "https://greedy-\(number)-\(random.below(100))")),
                from: index)
        }
    }

    /// Holds an answer against the limits, which are each pod's own.
    ///
    /// A pod that is not greedy asks for six different tokens at most, and stays far below every limit of the agent's. Where it is
    /// refused for one, it suffers for what others ask. The quota of an upstream is another cause than a limit.
    func judgeLimits(_ response: Response, to request: Int, of pod: SimulatedPod) {
        guard !pod.isGreedy else { return }
        judge.check(.ownLimits)
        // Until the agent has heard of it, the second pod of a UID is the first one to it.
        guard response.cause == .limited, !cluster.pods.contains(where: { $0.uid == pod.uid && $0.isGreedy }) else {
            return
        }
        violated(.ownLimits, "request \(request) of pod \(pod.index), which asks for little, was over a limit")
    }
}
