import MetadataProtocol
import MetadataServer
import Synchronization

/// Counts answers, as the agent's own observer does at least.
final class CountingObserver: MetadataServerObserver {
    private let count = Atomic(0)

    var answered: Int { count.load(ordering: .relaxed) }

    func connectionOpened() {}
    func connectionClosed() {}
    func connectionReset(_ reason: ConnectionReset) {}
    func limitHit(_ limit: LimitKind) {}

    func requestRefused(_ refusal: RefusedRequest) {}

    func requestAnswered(_ answer: AnsweredRequest) {
        guard answer.status == .ok else { return }
        count.wrappingAdd(1, ordering: .relaxed)
    }
}
