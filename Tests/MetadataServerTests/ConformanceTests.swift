import Testing
import Tokens

@testable import AWSInstanceMetadata
@testable import AzureInstanceMetadata
@testable import GoogleMetadata
@testable import MetadataProtocol
@testable import MetadataServer

private let v1 = "/computeMetadata/v1"
private let accounts = "/computeMetadata/v1/instance/service-accounts"
private let text = "application/text"
private let json = "application/json"
private let error = "text/plain; charset=utf-8"
private let flavorText = "Missing required header \"Metadata-Flavor\": \"Google\"\n"
private let missing = "Not Found\n"
private let scopesJSON =
    #"["https://www.googleapis.com/auth/cloud-platform","https://www.googleapis.com/auth/userinfo.email"]"#
private let p1JSON = #"{"aliases":["default"],"email":"gsa@p.iam.gserviceaccount.com","scopes":\#(scopesJSON)}"#
private let attributesJSON = #"{"cluster-location":"europe-west1","cluster-name":"c1","cluster-uid":"5e3f"}"#
private let tokenJSON = #"{"access_token":"ya29.93","expires_in":3599,"token_type":"Bearer"}"#
private let readOnlyScope = "https://www.googleapis.com/auth/devstorage.read_only"

/// One numbered line of the conformance checklist: bytes in, bytes out.
struct ConformanceCase: Sendable, CustomTestStringConvertible {
    var number: Int
    var title: String
    var pod = TestPod.p1
    var request: String
    var status: Int
    var contentType: String
    /// `nil`: not compared.
    var body: String?
    var headers: [String: String] = [:]
    var closes = false
    var scopes: [[String]] = []
    var audiences: [String] = []

    var testDescription: String { "case \(number) \(title)" }

    init(
        _ number: Int, _ title: String, pod: TestPod = .p1, _ request: String, _ status: Int, _ contentType: String,
        _ body: String?, headers: [String: String] = [:], closes: Bool = false, scopes: [[String]] = [],
        audiences: [String] = []
    ) {
        self.number = number
        self.title = title
        self.pod = pod
        self.request = request
        self.status = status
        self.contentType = contentType
        self.body = body
        self.headers = headers
        self.closes = closes
        self.scopes = scopes
        self.audiences = audiences
    }
}

extension ConformanceCase {
    static let detection: [ConformanceCase] = [
        .init(1, "root", get("/"), 200, text, "computeMetadata/\n"),
        .init(2, "root without flavor", get("/", flavor: false), 200, text, "computeMetadata/\n"),
        .init(3, "root with another flavor", get("/", flavor: false, "Metadata-Flavor: Other"), 200, text, nil),
        .init(4, "HEAD of root", get("/", method: "HEAD"), 200, text, "", headers: ["Content-Length": "17"]),
        .init(7, "computeMetadata/", get("/computeMetadata/"), 200, text, "v1/\n"),
        .init(
            8, "redirect to computeMetadata/", get("/computeMetadata"), 301, text, nil,
            headers: ["Location": "/computeMetadata/"]),
        .init(9, "v1/", get("\(v1)/"), 200, text, "instance/\nproject/\nuniverse/\n"),
        .init(10, "redirect to v1/", get(v1), 301, text, nil, headers: ["Location": "\(v1)/"]),
        .init(11, "Node's ping", get("\(v1)/instance"), 301, text, nil, headers: ["Location": "\(v1)/instance/"]),
        .init(
            12, "instance/", get("\(v1)/instance/"), 200, text,
            "attributes/\nhostname\nid\nname\nservice-accounts/\nzone\n"),
        .init(13, "without flavor", get("\(v1)/project/project-id", flavor: false), 403, error, flavorText),
        .init(
            14, "flavor in lower case",
            get("\(v1)/project/project-id", flavor: false, "metadata-flavor: Google"), 200, text, "p"),
        .init(
            15, "flavor with another value",
            get("\(v1)/project/project-id", flavor: false, "Metadata-Flavor: google"), 403, error, flavorText),
        .init(
            16, "the old header alone",
            get("\(v1)/project/project-id", flavor: false, "X-Google-Metadata-Request: True"), 403, error, flavorText),
        .init(
            17, "X-Forwarded-For refused", get("\(v1)/project/project-id", "X-Forwarded-For: 1.2.3.4"), 403, error, nil),
        .init(
            17, "empty X-Forwarded-For refused", get("\(v1)/project/project-id", "x-forwarded-for:"), 403, error, nil),
        .init(18, "X-Forwarded-For refused at root", get("/", "X-Forwarded-For: 1.2.3.4"), 403, error, nil),
        .init(19, "Host by name", get("\(v1)/project/project-id"), 200, text, "p"),
        .init(
            20, "Host with a final dot", get("\(v1)/project/project-id", host: "metadata.google.internal."), 200, text,
            "p"),
        .init(21, "Host by address", get("\(v1)/project/project-id", host: "169.254.169.254:80"), 200, text, "p"),
        .init(22, "Host of another", get("\(v1)/project/project-id", host: "evil.example"), 403, error, nil),
        .init(22, "Host of another at root", get("/", host: "evil.example"), 403, error, nil),
        .init(
            22, "absolute-form of another", get("http://evil.example/", host: "169.254.169.254"), 403, error, nil),
        .init(
            22, "absolute-form does not excuse Host", get("http://169.254.169.254/", host: "evil.example"), 403, error,
            nil),
        .init(
            22, "absolute-form is served, not forwarded",
            get("http://metadata.google.internal\(v1)/project/project-id"), 200, text, "p"),
        .init(
            22, "two Hosts", get("\(v1)/project/project-id", "Host: metadata.google.internal"), 400, error, nil,
            closes: true),
        .init(
            22, "two flavors", get("\(v1)/project/project-id", "Metadata-Flavor: Google"), 400, error, nil, closes: true
        ),
        .init(
            22, "no Host in HTTP/1.1", "GET / HTTP/1.1\r\nMetadata-Flavor: Google\r\n\r\n", 400, error, nil,
            closes: true),
        .init(
            23, "HTTP/1.0 with Host", get("\(v1)/project/project-id").replacingVersion(), 200, text, "p", closes: true),
        .init(
            23, "HTTP/1.0 without Host",
            "GET \(v1)/project/project-id HTTP/1.0\r\nMetadata-Flavor: Google\r\n\r\n", 200, text, "p", closes: true),
        .init(
            23, "HTTP/1.0 with keep-alive",
            "GET \(v1)/project/project-id HTTP/1.0\r\nMetadata-Flavor: Google\r\nConnection: keep-alive\r\n\r\n", 200,
            text, "p", headers: ["Connection": "keep-alive"]),
        .init(
            24, "POST", get("\(v1)/project/project-id", method: "POST", "Content-Length: 2", body: "{}"), 405, error,
            nil,
            headers: ["Allow": "GET, HEAD"]),
        .init(25, "PUT of a token", get("\(accounts)/default/token", method: "PUT"), 405, error, nil),
        .init(25, "DELETE of a token", get("\(accounts)/default/token", method: "DELETE"), 405, error, nil),
        .init(
            26, "HEAD of a token mints nothing", get("\(accounts)/default/token", method: "HEAD"), 200, json, "",
            headers: ["Cache-Control": "no-store"]),
        .init(
            28, "a target of 9000 bytes", get("/" + String(repeating: "a", count: 9000)), 414, error, nil, closes: true),
        .init(
            28, "a header of 40000 bytes", get("/", "X: " + String(repeating: "a", count: 40_000)), 431, error, nil,
            closes: true),
        .init(
            28, "101 headers",
            "GET / HTTP/1.1\r\n" + String(repeating: "X: y\r\n", count: 101) + "\r\n", 431, error, nil, closes: true),
    ]

    static let leaves: [ConformanceCase] = [
        .init(29, "project-id", get("\(v1)/project/project-id"), 200, text, "p"),
        .init(30, "numeric-project-id", get("\(v1)/project/numeric-project-id"), 200, text, "123456789012"),
        .init(31, "zone", get("\(v1)/instance/zone"), 200, text, "projects/123456789012/zones/europe-west1-b"),
        .init(32, "id", get("\(v1)/instance/id"), 200, text, "18446744073709551615"),
        .init(33, "hostname", get("\(v1)/instance/hostname"), 200, text, "node-a.example"),
        .init(33, "name", get("\(v1)/instance/name"), 200, text, "node-a"),
        .init(
            34, "attributes/", get("\(v1)/instance/attributes/"), 200, text,
            "cluster-location\ncluster-name\ncluster-uid\n"),
        .init(35, "cluster-name", get("\(v1)/instance/attributes/cluster-name"), 200, text, "c1"),
        .init(36, "kube-env", get("\(v1)/instance/attributes/kube-env"), 404, error, missing),
        .init(37, "universe-domain", get("\(v1)/universe/universe-domain"), 200, text, "googleapis.com"),
        .init(38, "universe_domain", get("\(v1)/universe/universe_domain"), 404, error, missing),
        .init(39, "preempted", get("\(v1)/instance/preempted"), 404, error, missing),
        .init(39, "project attributes", get("\(v1)/project/attributes/"), 404, error, missing),
        .init(39, "oslogin", get("\(v1)/oslogin/"), 404, error, missing),
        .init(40, "0.1", get("/0.1/meta-data/"), 404, error, missing),
        .init(40, "v1beta1", get("/computeMetadata/v1beta1/"), 404, error, missing),
        .init(40, "another cloud's path", get("/latest/meta-data/"), 404, error, missing),
        .init(41, "a leaf with a slash", get("\(v1)/instance/zone/"), 404, error, missing),
        .init(42, "two slashes", get("\(v1)/instance//zone"), 200, text, nil),
        .init(42, "dot segments", get("\(v1)/instance/../instance/zone"), 200, text, nil),
        .init(42, "an encoded slash", get("\(v1)/instance%2fzone"), 400, error, nil, closes: true),
        .init(42, "an encoded letter", get("/%63omputeMetadata/v1/instance/zone"), 200, text, nil),
        .init(
            42, "two slashes do not excuse the flavor", get("//computeMetadata/v1/instance/zone", flavor: false), 403,
            error, flavorText),
        .init(43, "nothing", get("\(v1)/nope"), 404, error, missing),
    ]

    static let recursion: [ConformanceCase] = [
        .init(
            44, "the whole tree", get("\(v1)/?recursive=true"), 200, json,
            #"{"instance":{"attributes":\#(attributesJSON),"hostname":"node-a.example","id":18446744073709551615,"#
                + #""name":"node-a","serviceAccounts":{"default":\#(p1JSON),"gsa@p.iam.gserviceaccount.com":\#(p1JSON)},"#
                + #""zone":"projects/123456789012/zones/europe-west1-b"},"#
                + #""project":{"numericProjectId":123456789012,"projectId":"p"},"#
                + #""universe":{"universeDomain":"googleapis.com"}}"#),
        .init(45, "attributes", get("\(v1)/instance/attributes/?recursive=true"), 200, json, attributesJSON),
        .init(46, "True", get("\(v1)/instance/attributes/?recursive=True"), 200, json, attributesJSON),
        .init(
            47, "the query survives a redirect", get("\(v1)/instance/attributes?recursive=true&x=%2F"), 301, text, nil,
            headers: ["Location": "\(v1)/instance/attributes/?recursive=true&x=%2F"]),
        .init(
            48, "as text", get("\(v1)/instance/attributes/?recursive=true&alt=text"), 200, text,
            "cluster-location europe-west1\ncluster-name c1\ncluster-uid 5e3f\n"),
        .init(49, "a leaf as JSON", get("\(v1)/project/project-id?alt=json"), 200, json, "\"p\""),
        .init(49, "a number as JSON", get("\(v1)/project/numeric-project-id?alt=json"), 200, json, "123456789012"),
        .init(
            50, "ETag of a leaf", get("\(v1)/project/project-id"), 200, text, "p",
            headers: ["ETag": EntityTag.of("p")]),
        .init(
            51, "an ETag that never matches", get("\(v1)/project/project-id?wait_for_change=true&last_etag=0"), 200,
            text,
            "p"),
        .init(53, "waiting for a listing", get("\(v1)/instance/?wait_for_change=true"), 400, error, nil),
        .init(54, "waiting for a token", get("\(accounts)/default/token?wait_for_change=true"), 400, error, nil),
        .init(55, "timeout_sec=abc", get("\(v1)/project/project-id?timeout_sec=abc"), 400, error, nil),
    ]

    static let serviceAccounts: [ConformanceCase] = [
        .init(57, "P1's accounts", get("\(accounts)/"), 200, text, "default/\ngsa@p.iam.gserviceaccount.com/\n"),
        .init(57, "P2's accounts", pod: .p2, get("\(accounts)/"), 200, text, "default/\np.svc.id.goog/\n"),
        .init(58, "gsutil's redirect", get(accounts), 301, text, nil, headers: ["Location": "\(accounts)/"]),
        .init(59, "default/", get("\(accounts)/default/"), 200, text, "aliases\nemail\nidentity\nscopes\ntoken\n"),
        .init(
            59, "redirect to default/", get("\(accounts)/default?recursive=true"), 301, text, nil,
            headers: ["Location": "\(accounts)/default/?recursive=true"]),
        .init(60, "P1's email", get("\(accounts)/default/email"), 200, text, "gsa@p.iam.gserviceaccount.com"),
        .init(60, "P2's email", pod: .p2, get("\(accounts)/default/email"), 200, text, "p.svc.id.goog"),
        .init(60, "P3's email", pod: .p3, get("\(accounts)/default/email"), 200, text, principal),
        .init(61, "default, recursively", get("\(accounts)/default/?recursive=true"), 200, json, p1JSON),
        .init(
            62, "accounts, recursively", get("\(accounts)/?recursive=true"), 200, json,
            #"{"default":\#(p1JSON),"gsa@p.iam.gserviceaccount.com":\#(p1JSON)}"#),
        .init(
            63, "scopes", get("\(accounts)/default/scopes"), 200, text,
            "https://www.googleapis.com/auth/cloud-platform\nhttps://www.googleapis.com/auth/userinfo.email\n"),
        .init(64, "aliases", get("\(accounts)/default/aliases"), 200, text, "default\n"),
        .init(
            65, "another account's token", get("\(accounts)/other@p.iam.gserviceaccount.com/token"), 404, error, missing
        ),
        .init(
            65, "another account's token through dots", get("\(accounts)/default/../other@p/token"), 404, error, missing
        ),
        .init(
            66, "token by email", get("\(accounts)/gsa@p.iam.gserviceaccount.com/token"), 200, json, tokenJSON,
            scopes: [ScopeSet.default.sorted]),
        .init(
            66, "token by encoded email", get("\(accounts)/gsa%40p.iam.gserviceaccount.com/token"), 200, json,
            tokenJSON,
            scopes: [ScopeSet.default.sorted]),
        .init(
            67, "token by principal, one slash", pod: .p3,
            get("\(accounts)/" + String(principal.replacing("//", with: "/")) + "/token"), 200, json, tokenJSON,
            scopes: [ScopeSet.default.sorted]),
        .init(
            67, "token by principal, two slashes", pod: .p3, get("\(accounts)/\(principal)/token"), 200, json,
            tokenJSON,
            scopes: [ScopeSet.default.sorted]),
        .init(
            68, "token", get("\(accounts)/default/token"), 200, json, tokenJSON,
            headers: ["Cache-Control": "no-store"], scopes: [ScopeSet.default.sorted]),
        .init(
            68, "gcloud-aio's token", get("\(accounts)/default/token?recursive=true"), 200, json, tokenJSON,
            scopes: [ScopeSet.default.sorted]),
        .init(
            71, "one scope", get("\(accounts)/default/token?scopes=\(readOnlyScope)"), 200, json, nil,
            scopes: [[readOnlyScope]]),
        .init(
            71, "one scope, escaped",
            get("\(accounts)/default/token?scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fdevstorage.read_only"), 200,
            json, nil, scopes: [[readOnlyScope]]),
        .init(
            71, "two scopes and nothing between", get("\(accounts)/default/token?scopes=b,,a,"), 200, json, nil,
            scopes: [["a", "b"]]),
        .init(
            72, "object_store's audience",
            get("\(accounts)/default/token?audience=https://www.googleapis.com/oauth2/v4/token"), 200, json, tokenJSON,
            scopes: [ScopeSet.default.sorted]),
        .init(
            73, "enforce_scopes", get("\(accounts)/default/token?enforce_scopes=true&scopes=a"), 200, json, nil,
            scopes: [["a"]]),
        .init(73, "enforce_scopes off", get("\(accounts)/default/token?enforce_scopes=false"), 400, error, nil),
    ]

    static let identity: [ConformanceCase] = [
        .init(
            84, "no audience", get("\(accounts)/default/identity"), 400, error,
            "non-empty audience parameter required\n"),
        .init(
            84, "an empty audience", get("\(accounts)/default/identity?audience="), 400, error,
            "non-empty audience parameter required\n"),
        .init(
            85, "an identity token", get("\(accounts)/default/identity?audience=https://x&format=full"), 200, text,
            "header.9.signature", headers: ["Cache-Control": "no-store"], audiences: ["https://x"]),
        .init(
            86, "format and licenses",
            get("\(accounts)/default/identity?audience=https%3A%2F%2Fx&format=standard&licenses=FALSE"), 200, text,
            "header.9.signature", audiences: ["https://x"]),
        .init(
            87, "an audience with colon and slash", get("\(accounts)/default/identity?audience=https://x:1/y"), 200,
            text,
            nil, audiences: ["https://x:1/y"]),
        .init(
            88, "without a Google service account", pod: .p2,
            get("\(accounts)/default/identity?audience=https://x"), 404, error,
            """
            Your Kubernetes service account (ns1/plain) is not annotated with a target Google service account, which is \
            a requirement for retrieving Identity Tokens using Workload Identity.
            Please add the iam.gke.io/gcp-service-account=[GSA_NAME]@[PROJECT_ID] annotation to your Kubernetes service \
            account.
            Refer to https://cloud.google.com/kubernetes-engine/docs/how-to/workload-identity

            """),
        .init(
            94, "a certificate-bound token",
            get(
                "\(accounts)/default/token", method: "POST", "Content-Type: application/json", "Content-Length: 26",
                body: #"{"certificate_chain":"P"} "#), 405, error, nil, headers: ["Allow": "GET, HEAD"]),
    ]
}

extension String {
    fileprivate func replacingVersion() -> String { String(replacing("HTTP/1.1", with: "HTTP/1.0")) }
}

@Suite(.timeLimit(.minutes(10))) struct ConformanceTests {
    @Test(
        arguments: ConformanceCase.detection + ConformanceCase.leaves + ConformanceCase.recursion
            + ConformanceCase.serviceAccounts + ConformanceCase.identity)
    func `the checklist holds`(_ test: ConformanceCase) async throws {
        let backend = FakeBackend(test.pod)
        try await check(test, backend, [])
        #expect(backend.read(\.accountReads) == test.scopes.count + test.audiences.count + (test.number == 88 ? 1 : 0))
    }

    @Test(
        "cloud case 50 Google's checklist where AWS and Azure are served as well",
        arguments: ConformanceCase.detection + ConformanceCase.leaves + ConformanceCase.recursion
            + ConformanceCase.serviceAccounts + ConformanceCase.identity)
    func besideOtherClouds(_ test: ConformanceCase) async throws {
        let tokens = SessionTokens(key: [UInt8](repeating: 1, count: 32))
        let aws = AWSMetadataRoom(
            .init(cloud: CloudName("aws"), region: { "r" }, zone: { "z" }), tokens: tokens)
        let rooms: [any CloudRoom] = [
            aws, AWSContainerCredentials(roles: aws), AzureMetadataRoom(.init(cloud: CloudName("azure"))),
        ]
        // A path that Google's protocol calls another cloud's is that cloud's here.
        guard test.title != "another cloud's path" else { return }
        try await check(test, FakeBackend(test.pod), rooms)
    }

    private func check(_ test: ConformanceCase, _ backend: FakeBackend, _ rooms: [any CloudRoom]) async throws {
        let connection = try await TestConnection(backend, rooms: rooms)
        let response = try await connection.exchange(test.request)

        #expect(response.status == test.status)
        #expect(response.headers["Content-Type"] == test.contentType)
        if let body = test.body { #expect(response.body == body) }
        for (name, value) in test.headers { #expect(response.headers[name] == value) }
        #expect(response.closes == test.closes)

        #expect(response.headers["Metadata-Flavor"] == "Google")
        #expect(response.headers["Server"] == "GKE Metadata Server")
        #expect(response.headers["Date"] == "Sun, 06 Nov 1994 08:49:37 GMT")
        #expect((response.headers["X-Content-Type-Options"] == "nosniff") == (test.contentType == error))
        if !test.request.hasPrefix("HEAD") {
            #expect(response.headers["Content-Length"] == "\(response.body.utf8.count)")
        }
        #expect(response.body.utf8.count < 1024)
        #expect(backend.read { $0.mintedScopes.map(\.sorted) } == test.scopes)
        #expect(backend.read(\.mintedAudiences) == test.audiences)
        await connection.close()
    }

    @Test func `headers come in a fixed order`() async throws {
        let connection = try await TestConnection(FakeBackend())
        let response = try await connection.exchange(get("/", "Connection: close"))
        #expect(
            response.names == ["Metadata-Flavor", "Server", "Date", "Content-Length", "Content-Type", "Connection"])
        #expect(response.statusLine == "HTTP/1.1 200 OK")
        await connection.close()
    }

    @Test func `case 69 a token asked for twice is minted once`() async throws {
        let backend = FakeBackend()
        let connection = try await TestConnection(backend)
        let first = try await connection.exchange(get("\(accounts)/default/token"))
        let second = try await connection.exchange(get("\(accounts)/default/token"))
        #expect(first == second)
        #expect(backend.upstreamCalls == 1)
        let head = try await connection.exchange(get("\(accounts)/default/token", method: "HEAD"))
        #expect(head.headers == first.headers && head.body.isEmpty)
        await connection.close()
    }

    @Test func `a token's failure is answered in the caller's terms`() async throws {
        let backend = FakeBackend()
        backend.update { $0.failure = .limited(reason: "too many scope sets", retryAfter: .seconds(3)) }
        let connection = try await TestConnection(backend)
        let response = try await connection.exchange(get("\(accounts)/default/token"))
        #expect(response.status == 429 && response.headers["Retry-After"] == "3" && !response.closes)
        await connection.close()
    }

    @Test func `HEAD has the status and headers of GET, also where the account is not cached`() async throws {
        for path in ["default/email", "default/?recursive=true", "other@p/email", "default/nope"] {
            let backend = FakeBackend()
            backend.update { $0.isAccountCached = false }
            let connection = try await TestConnection(backend)
            let head = try await connection.exchange(get("\(accounts)/\(path)", method: "HEAD"))
            let response = try await connection.exchange(get("\(accounts)/\(path)"))
            #expect(head.statusLine == response.statusLine && head.headers == response.headers && head.body.isEmpty)
            #expect(backend.upstreamCalls == 0)
            await connection.close()
        }
    }

    @Test func `an account that cannot be read is a failure of what was asked`() async throws {
        let backend = FakeBackend()
        backend.update {
            $0.isAccountCached = false
            $0.failure = .timedOut(stage: "serviceaccount")
        }
        let connection = try await TestConnection(backend)
        let response = try await connection.exchange(get("\(accounts)/default/token"))
        #expect(response.status == 503 && response.body.hasPrefix("Unable to generate access token"))
        let head = try await connection.exchange(get("\(accounts)/default/token", method: "HEAD"))
        #expect(head.status == 200)
        #expect(backend.read(\.accountReads) == 1)
        await connection.close()
    }
}
