import Foundation

/// Everything that takes part in a soak: pods that stay, places where short-lived pods follow each other, and a client that never
/// gets to the end of its request.
struct SoakWorld: Sendable {
    static let email = "soak@lab-project.iam.gserviceaccount.com"
    /// Some pods are kept away by a policy, so that this table is used as well.
    static let configuration: [String: String?] = ["policies": "[{policy: deny, labels: churn=denied}]"]
    /// Federated tokens live so long that each is replaced several times in a window.
    private static let tokenSeconds: Int64 = 30

    let residents: [SoakResident]
    let slots: [ChurnSlot]
    let slow: TokenPoller

    init(in world: LabWorld, residents count: Int, slots slotCount: Int) async throws {
        let kubernetes = world.cluster.kubernetes
        kubernetes.createServiceAccount(namespace: "default", name: "default")
        kubernetes.createServiceAccount(
            namespace: "default", name: "google", annotations: ["iam.gke.io/gcp-service-account": Self.email])
        world.cluster.iamCredentials.allowImpersonation(
            of: Self.email, by: .serviceAccount(namespace: "default", name: "google"))
        world.cluster.securityTokenService.setLongestLife(Self.tokenSeconds)
        var residents: [SoakResident] = []
        for number in 0..<count {
            let hasGoogleAccount = number % 2 == 1
            let pod = try await world.addPod(
                "resident-\(number)", serviceAccount: hasGoogleAccount ? "google" : "default")
            let asker = TokenPoller(pod: pod, visitor: try PodClient(in: pod, of: world), world: world)
            residents.append(SoakResident(asker, hasGoogleAccount: hasGoogleAccount))
        }
        var slots: [ChurnSlot] = []
        for number in 0..<slotCount {
            let home = try await world.node.addPod(RunningPodSpecification(name: "slot-\(number)"))
            slots.append(
                ChurnSlot(number: number, home: home, visitor: try PodClient(in: home, of: world), world: world))
        }
        let pod = try await world.addPod("slow")
        slow = TokenPoller(pod: pod, visitor: try PodClient(in: pod, of: world), world: world)
        self.residents = residents
        self.slots = slots
    }

    /// The counts of everything so far.
    var tally: OutcomeCounts {
        (residents.map(\.asker.tally) + slots.map(\.tally) + [slow.tally]).reduce(into: OutcomeCounts()) {
            $0.add($1.value)
        }
    }

    /// Short-lived pods so far.
    var lives: Int { slots.reduce(0) { $0 + $1.lives } }

    /// Ends the clients.
    func stop() async {
        for visitor in residents.map(\.asker.visitor) + slots.map(\.visitor) + [slow.visitor] { await visitor.stop() }
    }
}
