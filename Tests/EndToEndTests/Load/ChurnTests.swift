import AgentTesting
import Foundation
import Lab
import Operations
import Synchronization
import Testing

/// Pods come and go, and their names, addresses and network namespaces are used again at once.
@Suite(.serialized, .timeLimit(.minutes(10)))
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
                return TokenPoller(pod: pod, visitor: try PodClient(in: pod, of: world), world: world)
            }
            let slots = try await concurrently(Array(1...Self.slotCount), limit: 4) { number in
                let home = try await world.node.addPod(RunningPodSpecification(name: "slot-\(number)"))
                return ChurnSlot(number: number, home: home, visitor: try PodClient(in: home, of: world), world: world)
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

            let tally = (residents.map(\.tally) + slots.map(\.tally)).reduce(into: OutcomeCounts()) { $0.add($1.value) }
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
                    && status.tokenEntries == before.tokenEntries && status.namespaces == before.namespaces
            }
            for counter in ["untagged", "mismatched", "dropped_off_loopback", "refused_creator", "refused_namespace"] {
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
