/// The state of a pod directory: this node's pods by the UID that their cgroups' names carry.
///
/// The table is as large as the node's set of pods, which the API server limits to what is bound to this node.
struct PodTable: Sendable {
    /// How many deleted pods are remembered: what a node deletes in minutes, while a pod's cgroup outlives its API
    /// object by seconds.
    static let rememberedTerminations = 1024

    /// The records by `metadata.uid`, mirror pods included.
    private var records: [PodUID: PodRecord] = [:]
    /// The mirror pod for each static pod's configuration hash.
    private var mirrors: [PodUID: PodUID] = [:]
    private var terminated = RecentPods(limit: PodTable.rememberedTerminations)

    var count: Int { self.records.count }

    var departedCount: Int { self.terminated.count }

    /// The records ordered by namespace and name, and by UID where a pod was recreated.
    func sorted() -> [PodRecord] {
        self.records.values.sorted { ($0.namespace, $0.name, $0.uid) < ($1.namespace, $1.name, $1.uid) }
    }

    /// The pod whose cgroups carry `uid`.
    ///
    /// A mirror pod's own UID is in no path and finds nothing; its configuration hash finds it. An ordinary pod comes
    /// first: a user who may create pods may also create one that claims to mirror a victim's UID, and must gain
    /// nothing.
    func record(for uid: PodUID) -> PodRecord? {
        if let record = self.records[uid], !record.isMirror { return record }
        return self.mirrors[uid].flatMap { self.records[$0] }
    }

    func standing(of uid: PodUID) -> PodStanding {
        if let record = self.record(for: uid) { return .known(record) }
        return self.terminated.contains(uid) ? .terminated : .unknown
    }

    /// The effect of a change.
    enum Change: Sendable, Equatable {
        /// The change is applied; these pods went with it.
        case applied(departures: [PodUID])
        /// The change is not applied: it is an earlier state of a pod that was deleted.
        case outdated
    }

    /// Applies a change.
    ///
    /// Only a delete event is remembered as a termination: a list may be a little older than what was known, and a pod
    /// missing from it may come back. A list that names a terminated pod is believed, since no list is older than the
    /// events before it; an event may be.
    mutating func apply(_ event: PodEvent) -> Change {
        switch event {
        case .updated(let record):
            guard !self.terminated.contains(record.uid) else { return .outdated }
            self.insert(record)
            return .applied(departures: [])
        case .deleted(let uid):
            guard self.remove(uid) else { return .applied(departures: []) }
            self.terminated.insert(uid)
            return .applied(departures: [uid])
        case .replaced(let records):
            let gone = Set(self.records.keys).subtracting(records.map(\.uid))
            for uid in gone { self.remove(uid) }
            for record in records { self.insert(record) }
            return .applied(departures: gone.sorted())
        }
    }

    /// Removes the pods whose UIDs the change gives to other pods, and returns the UIDs. No API server gives a UID twice, but a
    /// restored backup may: what is held for the former pod must not serve the new one.
    mutating func removeFormer(before event: PodEvent) -> [PodUID] {
        let records =
            switch event {
            case .updated(let record): [record]
            case .replaced(let records): records
            case .deleted: [PodRecord]()
            }
        let uids = records.filter(self.isAnother).map(\.uid).sorted()
        for uid in uids { self.remove(uid) }
        return uids
    }

    /// Whether the UID is known of another pod.
    private func isAnother(_ record: PodRecord) -> Bool {
        guard let known = self.records[record.uid] else { return false }
        return !record.hasName(of: known) || record.serviceAccountName != known.serviceAccountName
    }

    private mutating func insert(_ record: PodRecord) {
        let held = self.records[record.uid]?.mirroredUID.flatMap { self.mirrors[$0] == record.uid ? $0 : nil }
        self.remove(record.uid)
        self.records[record.uid] = record
        self.terminated.remove(record.uid)
        guard let hash = record.mirroredUID else { return }
        // A mirror pod that the kubelet makes again has its predecessor's name. Anybody else's, which a user may create
        // with the same hash, takes nothing from one that is there.
        let holder = self.mirrors[hash].flatMap { self.records[$0] }
        if held == hash || (holder.map(record.hasName(of:)) ?? true) { self.mirrors[hash] = record.uid }
    }

    @discardableResult
    private mutating func remove(_ uid: PodUID) -> Bool {
        guard let record = self.records.removeValue(forKey: uid) else { return false }
        if let hash = record.mirroredUID, self.mirrors[hash] == uid {
            // The kubelet recreates mirror pods, so that for a moment two can carry the same hash.
            let others = self.records.values.filter { $0.mirroredUID == hash }
            self.mirrors[hash] = (others.first(where: record.hasName(of:)) ?? others.min { $0.uid < $1.uid })?.uid
        }
        return true
    }
}

/// The pod directory's answer about a UID from a cgroup's name.
package enum PodStanding: Sendable, Hashable {
    case known(PodRecord)
    /// The watch said that the pod was deleted; UIDs are never used again.
    case terminated
    case unknown
}

/// The latest so many UIDs, oldest forgotten first.
private struct RecentPods: Sendable {
    let limit: Int
    private var members: Set<PodUID> = []
    private var ring: [PodUID] = []
    private var oldest = 0

    init(limit: Int) {
        self.limit = limit
    }

    var count: Int { self.members.count }

    func contains(_ uid: PodUID) -> Bool { self.members.contains(uid) }

    mutating func insert(_ uid: PodUID) {
        guard self.members.insert(uid).inserted else { return }
        guard self.ring.count == self.limit else {
            self.ring.append(uid)
            return
        }
        self.members.remove(self.ring[self.oldest])
        self.ring[self.oldest] = uid
        self.oldest = (self.oldest + 1) % self.limit
    }

    mutating func remove(_ uid: PodUID) {
        self.members.remove(uid)
    }
}

extension PodRecord {
    /// Whether this is the API server's picture of a static pod, which has no ServiceAccount.
    var isMirror: Bool { self.staticPodConfigHash != nil }

    /// Whether both have the same namespace and name.
    func hasName(of other: PodRecord) -> Bool { self.namespace == other.namespace && self.name == other.name }

    /// The UID that the static pod's cgroups carry, if this is a mirror pod and its hash is a UID.
    var mirroredUID: PodUID? { self.staticPodConfigHash.flatMap(PodUID.init) }
}
