import GoogleMetadata
import KubernetesAPI
import Testing
import Tokens

@testable import NodeObject
@testable import Settings

@Suite struct InstanceAttributesTests {
    private static func configuration(_ change: (inout AgentConfiguration) -> Void = { _ in }) -> AgentConfiguration {
        var configuration = AgentConfiguration()
        configuration.nodeName = "node-a"
        change(&configuration)
        return configuration
    }

    private static let defaults = InstanceAttributes(
        id: 0, hostname: "node-a", name: "node-a", zone: "unknown", clusterName: "unknown", clusterLocation: "unknown",
        clusterUID: "unknown")

    private static let hashOfN1 = InstanceAttributes(configuration(), node: NodeRecord(uid: "n1")).id

    @Test("until the Node is read there are defaults, and what is configured")
    func withoutNode() {
        #expect(InstanceAttributes(Self.configuration(), node: nil) == Self.defaults)
        let configured = InstanceAttributes(Self.configuration { $0.zone = "z" }, node: nil)
        #expect(configured.zone == "z")
    }

    struct Case: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var node: NodeRecord
        var change: @Sendable (inout InstanceAttributes) -> Void

        init(_ name: String, _ node: NodeRecord, _ change: @escaping @Sendable (inout InstanceAttributes) -> Void) {
            testDescription = name
            self.node = node
            self.change = change
        }
    }

    private static let all = ["zone", "instance-id", "hostname", "cluster-name", "cluster-location", "cluster-uid"]

    @Test(
        "the Node fills what is not configured",
        arguments: [
            Case("nothing but a UID", NodeRecord(uid: "n1")) { $0.id = hashOfN1 },
            Case("no UID", NodeRecord(uid: "")) { _ in },
            Case(
                "Kubernetes' own labels and addresses",
                NodeRecord(
                    uid: "n1",
                    labels: ["topology.kubernetes.io/zone": "r-b", "topology.kubernetes.io/region": "r"],
                    addresses: ["Hostname": "short", "InternalDNS": "node-a.internal", "InternalIP": "10.0.0.1"])
            ) {
                $0.id = hashOfN1
                $0.zone = "r-b"
                $0.clusterLocation = "r"
                $0.region = "r"
                $0.hostname = "node-a.internal"
            },
            Case("a host name without DNS", NodeRecord(uid: "n1", addresses: ["Hostname": "short"])) {
                $0.id = hashOfN1
                $0.hostname = "short"
            },
            Case(
                "annotations before labels before Kubernetes' own",
                NodeRecord(
                    uid: "n1",
                    labels: Dictionary(uniqueKeysWithValues: all.map { ("podidentd.io/\($0)", "1") })
                        .merging(["topology.kubernetes.io/zone": "r-b", "topology.kubernetes.io/region": "r"]) { $1 },
                    annotations: ["podidentd.io/zone": "2", "podidentd.io/instance-id": "3"],
                    providerID: "gce://p/z/4", addresses: ["InternalDNS": "x"])
            ) {
                $0.id = 3
                $0.zone = "2"
                $0.hostname = "1"
                $0.clusterName = "1"
                $0.clusterLocation = "1"
                $0.clusterUID = "1"
                $0.region = "r"
            },
            Case("a numeric provider ID", NodeRecord(uid: "n1", providerID: "hcloud:///4711")) { $0.id = 4711 },
            Case("a provider ID with a name", NodeRecord(uid: "n1", providerID: "gce://p/z/node-a")) {
                $0.id = hashOfN1
            },
            Case(
                "GKE's annotation",
                NodeRecord(
                    uid: "n1", annotations: ["container.googleapis.com/instance_id": "18446744073709551615"],
                    providerID: "gce://p/z/node-a")
            ) { $0.id = .max },
            Case(
                "numbers that are none",
                NodeRecord(
                    uid: "n1",
                    annotations: [
                        "podidentd.io/instance-id": "+5",
                        "container.googleapis.com/instance_id": "18446744073709551616",
                    ], providerID: "x://-5")
            ) { $0.id = hashOfN1 },
            Case(
                "values that break a line or a path count as absent",
                NodeRecord(
                    uid: "n1", labels: ["podidentd.io/cluster-uid": "from-label"],
                    annotations: [
                        "podidentd.io/zone": "a/b", "podidentd.io/cluster-name": "a\nb", "podidentd.io/hostname": "",
                        "podidentd.io/cluster-uid": "caf\u{e9}",
                        "podidentd.io/cluster-location": String(repeating: "a", count: 254),
                    ])
            ) {
                $0.id = hashOfN1
                $0.clusterUID = "from-label"
            },
        ]
    )
    func fromNode(_ test: Case) {
        var expected = Self.defaults
        test.change(&expected)
        #expect(InstanceAttributes(Self.configuration(), node: test.node) == expected)
    }

    @Test("what is configured wins over everything that the Node says")
    func configured() {
        let node = NodeRecord(
            uid: "n1", annotations: Dictionary(uniqueKeysWithValues: Self.all.map { ("podidentd.io/\($0)", "9") }))
        let configuration = Self.configuration {
            $0.zone = "z"
            $0.instanceID = 0
            $0.hostname = "h"
            $0.clusterName = "n"
            $0.clusterLocation = "l"
            $0.clusterUID = "u"
        }
        #expect(
            InstanceAttributes(configuration, node: node)
                == InstanceAttributes(
                    id: 0, hostname: "h", name: "node-a", zone: "z", clusterName: "n", clusterLocation: "l",
                    clusterUID: "u"))
    }

    @Test("the hash of a UID never changes, and fits a signed number")
    func hash() {
        let id = InstanceAttributes(
            Self.configuration(), node: NodeRecord(uid: "263760fa-943b-4596-8bfd-672bfa608c16")
        ).id
        #expect(id == 1141375035519775974)
        #expect(Self.hashOfN1 == 626980046172116160)
        #expect(max(id, Self.hashOfN1) <= UInt64(Int64.max))
    }
}

@Suite struct NodeReadPlanTests {
    @Test("a Node that was read is read again after ten minutes, without a word")
    func success() {
        var plan = NodeReadPlan()
        #expect(plan.succeeded() == .init(pause: .seconds(600), isNews: true))
        #expect(plan.succeeded() == .init(pause: .seconds(600), isNews: false))
    }

    @Test("a Node without a region is read again soon, for some ten minutes, and its labels are news")
    func incomplete() {
        var plan = NodeReadPlan()
        #expect(plan.succeeded(isComplete: false) == .init(pause: .seconds(1), isNews: true))
        #expect(plan.succeeded(isComplete: false) == .init(pause: .seconds(2), isNews: false))
        #expect(plan.succeeded(isComplete: true) == .init(pause: .seconds(600), isNews: true))
        let pauses = (0..<20).map { _ in plan.succeeded(isComplete: false).pause }
        #expect(pauses[5...8] == [.seconds(32), .seconds(60), .seconds(60), .seconds(60)])
        #expect(pauses[15...].allSatisfy { $0 == .seconds(600) })
    }

    @Test("a missing right is one line, and is not asked for in a loop")
    func denied() {
        var plan = NodeReadPlan()
        #expect(plan.failed(.denied, jitter: 0.5) == .init(pause: .seconds(600), isNews: true))
        #expect(plan.failed(.denied, jitter: 0.5) == .init(pause: .seconds(600), isNews: false))
        #expect(plan.succeeded().isNews)
    }

    @Test("while nothing is known a failure that may pass is tried again soon, and then less and less often")
    func unavailable() {
        var plan = NodeReadPlan()
        let pauses = (0..<8).map { _ in plan.failed(.unavailable, jitter: 0.5).pause }
        #expect(pauses == [1, 2, 4, 8, 16, 32, 60, 60].map { .seconds($0) })
        _ = plan.succeeded()
        #expect(plan.failed(.unavailable, jitter: 0.5) == .init(pause: .seconds(600), isNews: true))
        for _ in 0..<100 { #expect(plan.failed(.notFound, jitter: 1).pause <= .seconds(750)) }
    }
}
