import Attribution
import VirtualTime

/// Bugs put in on purpose that need more than a call's other answer.
extension World {
    /// The event that the watch brings, or what a bug makes of it: records of pods that went stay, as of pods that have finished.
    func mutated(_ event: PodEvent, in directory: PodDirectory) -> PodEvent {
        guard options.mutation == .departedPodsKept else { return event }
        func finished(_ record: PodRecord) -> PodRecord {
            var record = record
            record.phase = .succeeded
            return record
        }
        switch event {
        case .updated: return event
        case .deleted(let uid):
            guard let record = directory.snapshot().first(where: { $0.uid == uid }) else { return event }
            return .updated(finished(record))
        case .replaced(let pods):
            let listed = Set(pods.map(\.uid))
            return .replaced(pods + directory.snapshot().filter { !listed.contains($0.uid) }.map(finished))
        }
    }

    /// Lets a call wait for a pause that no schedule has.
    func wait(_ pause: Duration) async {
        try? await timeline.sleep(for: pause)
    }
}
