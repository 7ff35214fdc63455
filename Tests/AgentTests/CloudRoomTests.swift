import Attribution
import Clouds
import GoogleMetadata
import MetadataProtocol
import NIOHTTP1
import Settings
import Testing
import Tokens

/// The rooms as the agent puts them together.
@Suite struct CloudRoomTests {
    private static let tokenPath = "/computeMetadata/v1/instance/service-accounts/default/token"

    private func rooms(_ clouds: String) throws -> [any MetadataRoom] {
        let configuration = try TestConfiguration.load(["clouds=\(clouds)", "aws.container-endpoint=true"])
        let parts = CloudParts(place: NodePlace(), sessionTokens: SessionTokens(key: SessionTokens.makeKey()))
        return CloudModules.rooms(configuration, try CloudModules.make(configuration, parts)) {
            InstanceAttributes(
                id: 1, hostname: "h", name: "n", zone: "z", clusterName: "c", clusterLocation: "l", clusterUID: "u")
        }
    }

    @Test(
        "Google's room is the last, and no room before it owns one of its paths",
        arguments: ["google", "aws", "google, aws, azure"])
    func order(clouds: String) throws {
        let rooms = try rooms(clouds)
        #expect(rooms.last is GoogleMetadataRoom)
        #expect(rooms.count == (clouds == "google" ? 1 : clouds == "aws" ? 3 : 4))
        for path in ["/", "/computeMetadata/v1/", Self.tokenPath, OwnPath.podToken, OwnPath.podUID, "/nowhere"] {
            #expect(rooms.dropLast().allSatisfy { !$0.owns(path) }, "\(path)")
            #expect(rooms.last?.owns(path) == true)
        }
    }

    @Test("a pod that is another cloud's alone gets no token of Google's, and a pod that is both does")
    func otherCloudsPod() throws {
        let room = try #require(try rooms("google, aws, azure").last)
        let head = HTTPRequestHead(
            version: .http1_1, method: .GET, uri: Self.tokenPath,
            headers: ["Host": "metadata", "Metadata-Flavor": "Google"])
        let request = try room.check(head, RequestTarget(parsing: Self.tokenPath))
        let uid = try #require(PodUID("11111111-2222-3333-4444-555555555555"))
        let pod = PodRecord(uid: uid, namespace: "ns", name: "pod", serviceAccountName: "app")
        var account = ServiceAccountRecord(namespace: "ns", name: "app", uid: "u")
        account.annotations = ["eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/reader"]
        guard case .answer(let refusal, nil) = room.decide(request, for: pod, by: AccountBackend(account)) else {
            Issue.record("no answer")
            return
        }
        #expect(refusal.status == .forbidden && refusal.cause == .cloudIdentityMissing)
        account.googleServiceAccount = "gsa@p.iam.gserviceaccount.com"
        guard case .wait = room.decide(request, for: pod, by: AccountBackend(account)) else {
            Issue.record("a pod of both clouds is not served")
            return
        }
    }
}

/// A backend that knows one ServiceAccount, and has no token.
private struct AccountBackend: TokenServiceBackend {
    let account: ServiceAccountRecord
    let tokens: TokenService

    init(_ account: ServiceAccountRecord) {
        self.account = account
        tokens = TokenService(issuer: Nothing(), accounts: Nothing(), exchanger: NoGoogleTokenExchange())
    }

    func identify(_ tag: CallerTag) -> Identification { .refused(.notInPod) }
    func identifyHolding(_ tag: CallerTag) async -> Identification { .refused(.notInPod) }
    func cachedServiceAccount(of pod: PodRecord) -> ServiceAccountRecord? { account }
}

private struct Nothing: SubjectTokenIssuing, ServiceAccountReading {
    private static let failure = UpstreamFailure(upstream: .kubernetes, kind: .unavailable, message: "not here")

    func issueSubjectToken(
        for pod: PodRecord, serviceAccountUID: String, audience: SubjectAudience
    ) async throws(UpstreamFailure) -> SubjectToken {
        throw Self.failure
    }

    func serviceAccount(_ reference: ServiceAccountReference) async throws(UpstreamFailure) -> ServiceAccountRecord {
        throw Self.failure
    }
}
