import Foundation
import Lab
import Operations
import Synchronization
import Testing

/// Pods come and go, and their names, addresses and network namespaces are used again at once.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct ChurnTests {
    private static let podCount = 1000
    private static let slotCount = 8
    private static let residentCount = 50

    @Test("1,000 short-lived pods beside 50 that ask all the time: everybody gets its own, and nothing stays behind")
    func churn() async throws {
        let policies = "[{policy: deny, labels: churn=denied}]"
        try await withAgent(["policies": policies]) { world, agent in
            world.addServiceAccount("default")
            let residents = try await concurrently(Array(1...Self.residentCount), limit: 4) { number in
                let pod = try await world.addPod("resident-\(number)")
                return Asker(pod: pod, visitor: try Visitor(in: pod, of: world), world: world)
            }
            let slots = try await concurrently(Array(1...Self.slotCount), limit: 4) { number in
                let home = try await world.node.addPod(RunningPodSpecification(name: "slot-\(number)"))
                return Slot(number: number, home: home, visitor: try Visitor(in: home, of: world), world: world)
            }
            for resident in residents { try await resident.ask() }
            let before = try await agent.settled { $0.connections == 0 }

            let isOver = Flag()
            let start = ContinuousClock.now
            try await withThrowingTaskGroup(of: Void.self) { group in
                for lane in 0..<2 {
                    group.addTask {
                        while !isOver.isRaised {
                            for (index, resident) in residents.enumerated() where index % 2 == lane {
                                try await resident.ask()
                            }
                        }
                    }
                }
                try await withThrowingTaskGroup(of: Void.self) { slotGroup in
                    for slot in slots {
                        slotGroup.addTask {
                            for life in 0..<(Self.podCount / Self.slotCount) { try await slot.live(life) }
                        }
                    }
                    try await slotGroup.waitForAll()
                }
                isOver.raise()
                try await group.waitForAll()
            }
            let elapsed = ContinuousClock.now - start

            let tally = (residents.map(\.tally) + slots.map(\.tally)).reduce(into: Tally()) { $0.add($1.value) }
            #expect(tally.wrong.isEmpty, "\(tally.wrong)")
            #expect(tally.unexplained.isEmpty, "\(tally.unexplained)")
            #expect(tally.gone > 0 && tally.denied > 0, "the test has met what it is about")
            #expect(residents.allSatisfy { $0.tally.value.own == $0.tally.value.total })
            let lives = slots.reduce(0) { $0 + $1.lives }
            #expect(lives == Self.podCount)
            #expect(world.cluster.trap?.connections == 0)
            let mints = world.cluster.kubernetes.mints
            let after = try await agent.settled { status in
                status.connections == 0 && status.cgroups == before.cgroups && status.policies == 0
                    && status.connectionCounts == before.connectionCounts && status.pods == before.pods
                    && status.tokenEntries == before.tokenEntries && status.pendingHandovers == 0
            }
            for counter in ["untagged", "voided", "torn", "claim_conflict", "refused_creator", "refused_limit"] {
                #expect(after.kernel[counter] == 0, "\(counter)")
            }
            print(
                """
                CHURN \(Self.podCount) pods in \(elapsed.text) beside \(Self.residentCount): \(tally.own) of \
                \(tally.total) answers the caller's own, \(tally.gone) refused as gone, \(tally.tooNew) as too new, \
                \(tally.denied) as denied, \(tally.wrong.count) wrong, \(tally.unexplained.count) unexplained; \(mints.total) tokens minted; \
                \(after.cgroups) cgroups, \(after.connectionCounts) counters as before
                """)
            for visitor in residents.map(\.visitor) + slots.map(\.visitor) { await visitor.stop() }
        }
    }
}

private final class Flag: Sendable {
    private let value = Mutex(false)
    var isRaised: Bool { value.withLock { $0 } }
    func raise() { value.withLock { $0 = true } }
}

/// What came of the exchanges.
private struct Tally {
    var own = 0
    /// Answers to pods that were being deleted: 403, "is gone".
    var gone = 0
    /// Answers to pods whose record had not come: 503 with the documented text.
    var tooNew = 0
    var denied = 0
    var wrong: [String] = []
    var unexplained: [String] = []

    var total: Int { own + gone + tooNew + denied + wrong.count + unexplained.count }

    mutating func add(_ other: Tally) {
        own += other.own
        gone += other.gone
        tooNew += other.tooNew
        denied += other.denied
        wrong += other.wrong
        unexplained += other.unexplained
    }
}

/// Judges answers by the emulators' own books: whose token it is.
private final class Judge: Sendable {
    private let tally = Mutex(Tally())
    private let world: LabWorld

    init(_ world: LabWorld) {
        self.world = world
    }

    var value: Tally { tally.withLock { $0 } }

    enum Expectation { case own, ownOrGone, denied }

    func judge(_ result: Visit.Result, of uid: String, as expectation: Expectation) {
        tally.withLock { tally in
            switch (result, expectation) {
            case (.answered(200, let body), _):
                let answer = try? JSONDecoder().decode(TokenAnswer.self, from: Data(body.utf8))
                let owner = answer.flatMap { world.cluster.ledger.describe($0.accessToken) }?.subject.podUID
                if owner == uid, expectation != .denied {
                    tally.own += 1
                } else {
                    tally.wrong.append("\(uid) got \(owner ?? "nobody")'s")
                }
            case (.answered(403, let body), .ownOrGone) where Self.says(body, isGone: uid): tally.gone += 1
            case (.answered(403, let body), .denied) where body.contains("is denied the metadata server"):
                tally.denied += 1
            case (.refused, .denied): tally.denied += 1
            // Also for a pod that went before anybody here had seen its record.
            case (.answered(503, let body), .own), (.answered(503, let body), .ownOrGone):
                if body.contains("(UID \(uid)) is not known on this node yet") {
                    tally.tooNew += 1
                } else {
                    tally.unexplained.append("\(uid): 503 \(body)")
                }
            default: tally.unexplained.append("\(uid) as \(expectation): \(result)")
            }
        }
    }

    /// By the watch, or by the API server, which refuses to bind a token to a pod that it does not have.
    private static func says(_ body: String, isGone uid: String) -> Bool {
        body.contains("The pod of this connection is gone") || body.contains("does not exist any more")
            || body.contains("not found") || body.contains("the UID in the bound object reference (\(uid))")
    }
}

/// A pod that lives through the test and asks again and again.
private final class Asker: Sendable {
    let visitor: Visitor
    let tally: Judge
    private let pod: RunningPod

    init(pod: RunningPod, visitor: Visitor, world: LabWorld) {
        self.pod = pod
        self.visitor = visitor
        tally = Judge(world)
    }

    func ask() async throws {
        let result = try await visitor.make(Visit(processes: nil, path: tokenPath))
        tally.judge(result, of: pod.uid, as: .own)
    }
}

/// One address and one network namespace, which one short-lived pod after the other has.
private final class Slot: Sendable {
    let visitor: Visitor
    let tally: Judge
    private let pods = Mutex(0)
    private let name: String
    private let address: String
    private let containerID: String
    private let world: LabWorld

    init(number: Int, home: RunningPod, visitor: Visitor, world: LabWorld) {
        name = "job-\(number)"
        address = home.address
        containerID = home.containerID
        self.visitor = visitor
        self.world = world
        tally = Judge(world)
    }

    var lives: Int { pods.withLock { $0 } }

    /// The life of one pod, in one of the ways in which kubelets and controllers make it run.
    func live(_ life: Int) async throws {
        pods.withLock { $0 += 1 }
        // The runtime's name for the container is used again, too.
        let pod = ShortLivedPod(containerID: containerID, on: world.node)
        switch life % 8 {
        case 0:
            // The kubelet knows the pod before the watch shows it.
            try pod.makeCgroups()
            async let first: Void = ask(pod)
            create(pod)
            try await first
            try end(pod)
        case 1:
            create(pod)
            try pod.makeCgroups()
            async let last: Void = ask(pod, as: .ownOrGone)
            delete()
            try await last
            try pod.removeCgroups()
        case 2:
            create(pod, labels: ["churn": "denied"])
            try pod.makeCgroups()
            try await ask(pod, as: .denied)
            try await ask(pod, as: .denied)
            try end(pod)
        case 3:
            // The kubelet makes the cgroups of the same pod again, at the same path.
            create(pod)
            for _ in 0..<2 {
                try pod.makeCgroups()
                try await ask(pod)
                try pod.removeCgroups()
            }
            delete()
        case 4:
            // A StatefulSet's next pod of this name and address is there while the old one still has processes.
            create(pod)
            try pod.makeCgroups()
            try await ask(pod)
            delete()
            let next = ShortLivedPod(containerID: containerID, on: world.node)
            create(next)
            try next.makeCgroups()
            try await ask(pod, as: .ownOrGone)
            try await ask(next)
            try pod.removeCgroups()
            try end(next)
        case 5:
            create(pod)
            try pod.makeCgroups()
            try await ask(pod)
            world.cluster.kubernetes.deletePod(namespace: "default", name: name, .graceful(seconds: 30))
            try await ask(pod)
            try pod.removeCgroups()
            world.cluster.kubernetes.finishDeletion(namespace: "default", name: name)
        default:
            create(pod)
            try pod.makeCgroups()
            try await ask(pod)
            try end(pod)
        }
    }

    private func create(_ pod: ShortLivedPod, labels: [String: String] = [:]) {
        world.cluster.kubernetes.createPod(
            namespace: "default", name: name, node: LabWorld.nodeName, uid: pod.uid, podIP: address, labels: labels)
    }

    private func delete() {
        world.cluster.kubernetes.deletePod(namespace: "default", name: name, .force)
    }

    private func end(_ pod: ShortLivedPod) throws {
        try pod.removeCgroups()
        delete()
    }

    private func ask(_ pod: ShortLivedPod, as expectation: Judge.Expectation = .own) async throws {
        let result = try await visitor.make(Visit(processes: pod.processes, path: tokenPath))
        tally.judge(result, of: pod.uid, as: expectation)
    }
}
