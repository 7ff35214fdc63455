import Attribution
import Testing

@Suite struct PolicyBindingsTests {
    private typealias Change = PolicyBindings.Change

    private let web = PodUID.web
    private let id = CgroupID(rawValue: 7)

    private func record(_ policy: PodPolicy) -> PodRecord {
        var record = PodRecord.web
        record.policy = policy
        return record
    }

    @Test("record and cgroup may come in either order; what is installed is not written again")
    func eitherOrder() {
        var bindings = PolicyBindings()
        let standing = PodStanding.known(record(.deny))
        #expect(bindings.changes(for: web, isSynced: true) { _ in standing }.isEmpty)
        let isNew = bindings.bind(id, to: web)
        #expect(isNew)
        let changes = bindings.changes(for: web, isSynced: true) { _ in standing }
        #expect(changes == [Change(cgroup: id, policy: .deny)])
        bindings.note(changes[0])
        #expect(bindings.changes(for: web, isSynced: true) { _ in standing }.isEmpty)
        let isNewAgain = bindings.bind(id, to: web)
        #expect(!isNewAgain)
    }

    @Test("a change of the record changes every cgroup of the pod, back to attribution, too")
    func flips() {
        var bindings = PolicyBindings()
        for raw: UInt64 in [1, 2] { bindings.bind(CgroupID(rawValue: raw), to: web) }
        for policy in [PodPolicy.deny, .passthrough, .attribute] {
            let changes = bindings.changes(for: nil, isSynced: true) { _ in .known(record(policy)) }
            #expect(Set(changes) == Set([1, 2].map { Change(cgroup: CgroupID(rawValue: $0), policy: policy) }))
            for change in changes { bindings.note(change) }
        }
        #expect(bindings.installed.isEmpty)
    }

    @Test(
        "what an earlier agent installed stands until the pod list is seen",
        arguments: [PodPolicy.deny, .passthrough])
    func adopted(policy: PodPolicy) {
        var bindings = PolicyBindings()
        bindings.adopt([id: policy])
        bindings.bind(id, to: web)
        #expect(bindings.changes(for: nil, isSynced: false) { _ in .unknown }.isEmpty)
        #expect(
            bindings.changes(for: nil, isSynced: false) { _ in .known(record(.attribute)) }
                == [Change(cgroup: id, policy: .attribute)])
    }

    @Test("while another agent's rules count nothing is written; afterwards its policies are put right")
    func yielded() {
        var bindings = PolicyBindings()
        let pods = [CgroupID(rawValue: 1): PodUID.web, CgroupID(rawValue: 2): PodUID.victim]
        func changes(_ uid: PodUID?) -> [Change] {
            bindings.changes(for: uid, isSynced: true) { _ in .known(record(.attribute)) }
        }
        bindings.isYielded = true
        for (id, uid) in pods { bindings.bind(id, to: uid) }
        // As this agent had written it.
        bindings.note(Change(cgroup: CgroupID(rawValue: 1), policy: .deny))
        #expect(changes(nil).isEmpty && pods.values.allSatisfy { changes($0).isEmpty })
        bindings.isYielded = false
        // As the other agent has written it.
        bindings.adopt([CgroupID(rawValue: 2): .passthrough])
        #expect(changes(nil) == [Change(cgroup: CgroupID(rawValue: 2), policy: .attribute)])
    }

    @Test("a pod whose object is too large to be read loses the way past the agent, and keeps a refusal")
    func tooLarge() {
        var bindings = PolicyBindings()
        bindings.bind(id, to: web)
        for (policy, present, wanted) in [
            (PodPolicy.passthrough, PodPolicy.passthrough, PodPolicy.attribute), (.passthrough, .deny, .deny),
            (.attribute, .deny, .deny), (.deny, .attribute, .deny),
        ] {
            bindings.note(Change(cgroup: id, policy: present))
            var pod = record(policy)
            pod.isTooLarge = true
            let changes = bindings.changes(for: nil, isSynced: true) { _ in .known(pod) }
            #expect(changes == (wanted == present ? [] : [Change(cgroup: id, policy: wanted)]))
        }
    }

    @Test("a pod that is gone keeps a refusal, and loses the way past the agent")
    func terminated() {
        for standing in [PodStanding.terminated, .unknown] {
            var bindings = PolicyBindings()
            bindings.bind(id, to: web)
            bindings.adopt([id: .deny])
            #expect(bindings.changes(for: web, isSynced: true) { _ in standing }.isEmpty)
            bindings.adopt([id: .passthrough])
            #expect(
                bindings.changes(for: web, isSynced: true) { _ in standing }
                    == [Change(cgroup: id, policy: .attribute)])
        }
    }

    @Test("nothing is kept for a cgroup that is gone")
    func removal() {
        var bindings = PolicyBindings()
        bindings.bind(id, to: web)
        bindings.adopt([id: .deny, CgroupID(rawValue: 8): .deny])
        #expect(bindings.known.count == 2)
        bindings.remove(id)
        bindings.remove(CgroupID(rawValue: 8))
        #expect(bindings.count == 0 && bindings.known.isEmpty && bindings.installed.isEmpty)
        #expect(bindings.changes(for: nil, isSynced: true) { _ in .known(record(.deny)) }.isEmpty)
    }

    @Test("an event concerns its pod, and for a mirror pod the UID in the static pod's path")
    func concerned() {
        #expect(PodEvent.updated(.web).concernedUIDs == [.web])
        #expect(PodEvent.updated(.mirror).concernedUIDs == [PodRecord.mirror.uid, .staticHash])
        #expect(PodEvent.deleted(.web).concernedUIDs == nil)
        #expect(PodEvent.replaced([]).concernedUIDs == nil)
    }
}
