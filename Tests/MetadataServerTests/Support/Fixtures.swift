import Attribution
import Testing
import Tokens

@testable import GoogleMetadata
@testable import MetadataProtocol
@testable import MetadataServer

/// The configuration of a server with Google's protocol, and of that protocol.
struct TestConfiguration {
    var limits = MetadataServerLimits()
    var google = GoogleMetadataConfiguration.test

    static let test = TestConfiguration()

    /// The rooms in the agent's order: Google's is the last.
    func rooms(_ others: [any CloudRoom], _ backend: FakeBackend) -> [any MetadataRoom] {
        others + [GoogleMetadataRoom(google, besides: others) { backend.instance }]
    }
}

extension MetadataResponder {
    init(configuration: TestConfiguration, backend: FakeBackend, rooms: [any CloudRoom] = []) {
        self.init(backend: backend, rooms: configuration.rooms(rooms, backend))
    }
}

extension GoogleMetadataConfiguration {
    static let test = GoogleMetadataConfiguration(
        projectID: "p",
        numericProjectID: 123_456_789_012,
        poolName: "p.svc.id.goog",
        poolProjectNumber: 42,
        identityProvider: "//iam.googleapis.com/projects/42/locations/global/workloadIdentityPools/x/providers/y",
        subjectTokenAudience: "https://wif.example",
        podTokenAudiences: ["https://vault.example"]
    )
}

extension InstanceAttributes {
    static let test = InstanceAttributes(
        id: 18_446_744_073_709_551_615,
        hostname: "node-a.example",
        name: "node-a",
        zone: "europe-west1-b",
        clusterName: "c1",
        clusterLocation: "europe-west1",
        clusterUID: "5e3f"
    )
}

/// The three pods of the conformance checklist.
enum TestPod: Sendable {
    /// Impersonates a Google service account.
    case p1
    /// Does not.
    case p2
    /// Does not, and wants its principal for an email.
    case p3

    var record: PodRecord {
        PodRecord(
            uid: .test(self == .p1 ? 1 : 2),
            namespace: "ns1",
            name: "pod",
            serviceAccountName: self == .p1 ? "app" : "plain"
        )
    }

    var account: ServiceAccountRecord {
        switch self {
        case .p1:
            ServiceAccountRecord(
                namespace: "ns1", name: "app", uid: "u1", googleServiceAccount: "gsa@p.iam.gserviceaccount.com")
        case .p2: ServiceAccountRecord(namespace: "ns1", name: "plain", uid: "u2")
        case .p3: ServiceAccountRecord(namespace: "ns1", name: "plain", uid: "u2", returnsPrincipalAsEmail: true)
        }
    }

    var caller: Caller { Caller(pod: record, containerID: nil, cgroupID: CgroupID(rawValue: 7)) }
}

let principal =
    "principal://iam.googleapis.com/projects/42/locations/global/workloadIdentityPools/p.svc.id.goog"
    + "/subject/ns/ns1/sa/plain"

extension CallerTag {
    static let test = CallerTag(
        ancestors: [1, 2, 0, 0, 0],
        leaf: CgroupID(rawValue: 3),
        networkNamespaceCookie: 4,
        socketCookie: 5,
        originalDestination: OriginalDestination(address: .ipv4(0xa9fe_a9fe), port: 80)
    )
}

extension PodUID {
    static func test(_ digit: Int) -> PodUID {
        guard let uid = PodUID("11111111-2222-3333-4444-55555555555\(digit)") else {
            preconditionFailure("\(digit) is no digit")
        }
        return uid
    }
}

extension MetadataResponder {
    /// Answers from `leased` first, as the fast path and the request handler do.
    func respond(to request: MetadataRequest, leased: ResponseCache) -> Outcome {
        let caller = identify(.test)
        if let cached = cachedAnswer(to: request, as: caller, in: leased) { return .answer(cached.response) }
        return decide(request, as: caller, leased: leased)
    }
}
