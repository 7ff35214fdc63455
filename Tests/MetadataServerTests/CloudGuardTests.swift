import Attribution
import NIOHTTP1
import Testing

@testable import AWSInstanceMetadata
@testable import AzureInstanceMetadata
@testable import MetadataProtocol
@testable import MetadataServer
@testable import Tokens

private let roles = "/latest/meta-data/iam/security-credentials"
private let azureToken = "/metadata/identity/oauth2/token?resource=https://storage.azure.com"
private let ownRole = "arn:aws:iam::111122223333:role/guest"
private let ownClient = "bbbbbbbb-1111-2222-3333-444444444444"
private let otherClient = "aaaaaaaa-1111-2222-3333-444444444444"

/// A room that lacks one of its guards.
private struct Weakened: CloudRoom {
    enum Guard {
        case none, sessionToken, name, header, host
    }

    let inner: any CloudRoom
    let lacks: Guard

    var root: Response? { inner.root }
    func owns(_ path: String) -> Bool { inner.owns(path) }
    func form(_ response: Response) -> Response { inner.form(response) }

    func validate(_ head: HTTPRequestHead, _ target: RequestTarget) throws(RequestRefusal) -> CloudRequest {
        var (head, target) = (head, target)
        if lacks == .header { head.headers.replaceOrAdd(name: "Metadata", value: "true") }
        if lacks == .host {
            head.headers.replaceOrAdd(name: "Host", value: "169.254.169.254")
            target = try RequestTarget(parsing: target.path + (target.query.map { "?\($0)" } ?? ""))
        }
        return try inner.validate(head, target)
    }

    func refusal(of request: CloudRequest, from pod: PodUID) -> Response? {
        lacks == .sessionToken ? nil : inner.refusal(of: request, from: pod)
    }

    func identity(of account: ServiceAccountRecord) throws(RequestRefusal) -> CloudIdentity? {
        try inner.identity(of: account)
    }

    /// Without the guard the identity is the one that the request names.
    func content(
        of request: CloudRequest, from pod: PodRecord, account: ServiceAccountRecord
    ) throws(RequestRefusal) -> CloudContent {
        guard lacks == .name, let named = request.identity ?? (request.name.isEmpty ? nil : request.name),
            let cloud = try inner.identity(of: account)?.cloud
        else {
            return try inner.content(of: request, from: pod, account: account)
        }
        return .credential(
            CloudCredential(identity: CloudIdentity(cloud: cloud, principal: named, annotations: [:])))
    }

    func response(to failure: TokenFailure, reading request: CloudRequest, from pod: PodRecord) -> Response {
        inner.response(to: failure, reading: request, from: pod)
    }

    func response(with token: ServedToken, to request: CloudRequest, for credential: CloudCredential) -> Response {
        inner.response(with: token, to: request, for: credential)
    }

    func response(
        to failure: TokenFailure, fetching credential: CloudCredential, for request: CloudRequest,
        account: ServiceAccountReference
    ) -> Response {
        inner.response(to: failure, fetching: credential, for: request, account: account)
    }
}

/// Each guard of AWS's and Azure's protocols against the attack that it stands for: with it the attack is refused, without it
/// alone the attack gets through. The numbers are those of the attack suite.
@Suite(.timeLimit(.minutes(10))) struct CloudGuardTests {
    private let backend = FakeBackend()
    private let tokens = SessionTokens(key: [UInt8](repeating: 5, count: 32))

    init() {
        backend.update { state in
            state.account.annotations = [
                AWSMetadataRoom.annotation: ownRole, AzureMetadataRoom.clientAnnotation: ownClient,
            ]
            state.credential = ServedToken(
                token: AWSSessionCredentials(accessKeyID: "ASIA", secretAccessKey: "s", sessionToken: "t").token,
                expiresIn: 3000)
        }
    }

    private func status(
        lacking missing: Weakened.Guard = .none, _ target: String, _ headers: HTTPHeaders,
        host: String = "169.254.169.254"
    ) -> Int? {
        let aws = AWSMetadataRoom(.init(cloud: CloudName("aws"), region: { "r" }, zone: { nil }), tokens: tokens)
        let azure = AzureMetadataRoom(.init(cloud: CloudName("azure"), tenant: "t.example"))
        let responder = MetadataResponder(
            configuration: .test, backend: backend,
            rooms: [Weakened(inner: aws, lacks: missing), Weakened(inner: azure, lacks: missing)])
        var all: HTTPHeaders = ["Host": host]
        all.add(contentsOf: headers)
        let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: target, headers: all)
        do throws(RequestRefusal) {
            let request = try responder.validate(head)
            guard case .answer(let response) = responder.respond(to: request, from: .test) else { return nil }
            return response.status.rawValue
        } catch {
            return responder.response(to: error, of: head).status.rawValue
        }
    }

    private func header(of pod: PodUID = TestPod.p1.record.uid) -> HTTPHeaders {
        ["X-aws-ec2-metadata-token": tokens.make(for: pod, seconds: 600)]
    }

    @Test("what is no attack is served, with each guard and without it")
    func control() {
        for missing in [Weakened.Guard.none, .sessionToken, .header, .host] {
            #expect(status(lacking: missing, "\(roles)/guest", header()) == 200)
            #expect(status(lacking: missing, azureToken, ["Metadata": "true"]) == 200)
        }
    }

    @Test("C1: another pod's session token opens nothing, because it is compared with the attributed pod")
    func sessionToken() {
        let other = header(of: .test(9))
        #expect(status("\(roles)/guest", other) == 401)
        #expect(status(lacking: .sessionToken, "\(roles)/guest", other) == 200)
    }

    @Test("C2: another role's name is not an identity, because the annotation names the role")
    func roleName() {
        #expect(status("\(roles)/ledger", header()) == 404)
        #expect(status(lacking: .name, "\(roles)/ledger", header()) == 200)
    }

    @Test("C3: another client ID is not an identity, because the annotation names the client")
    func clientID() {
        let target = "\(azureToken)&client_id=\(otherClient)"
        #expect(status(target, ["Metadata": "true"]) == 400)
        // The room reads the client of the answer from the identity.
        #expect(status(lacking: .name, target, ["Metadata": "true"]) == 200)
    }

    @Test("C4: another cloud's header opens nothing of Azure's")
    func header() {
        let others: HTTPHeaders = ["Metadata-Flavor": "Google", "X-aws-ec2-metadata-token": "x"]
        #expect(status(azureToken, others) == 400)
        #expect(status(lacking: .header, azureToken, others) == 200)
    }

    @Test("C5: another host's name is refused, in the header and in an absolute target")
    func host() {
        #expect(status("\(roles)/guest", header(), host: "evil.example") == 403)
        #expect(status(lacking: .host, "\(roles)/guest", header(), host: "evil.example") == 200)
        #expect(status("http://evil.example\(roles)/guest", header()) == 403)
        #expect(status(lacking: .host, "http://evil.example\(roles)/guest", header()) == 200)
    }

    @Test("cloud case 35 Azure's probe, without its header, is answered while the pod is not known yet")
    func probe() {
        backend.update { $0.identification = .pending(TestPod.p1.record.uid) }
        for target in [azureToken, "/metadata/identity/oauth2/token"] { #expect(status(target, [:]) == 400) }
        // With the header the pod is waited for.
        #expect(status(azureToken, ["Metadata": "true"]) == nil)
    }

    @Test(
        "C6: the same request is served without the header of a proxy, and with it on no path",
        arguments: ["X-Forwarded-For", "Forwarded", "Via"])
    func proxy(name: String) {
        for missing in [Weakened.Guard.none, .sessionToken, .header, .host] {
            var (aws, azure): (HTTPHeaders, HTTPHeaders) = (header(), ["Metadata": "true"])
            aws.add(name: name, value: "")
            azure.add(name: name, value: "")
            #expect(status(lacking: missing, "\(roles)/guest", aws) == 403)
            #expect(status(lacking: missing, azureToken, azure) == 403)
        }
    }
}
