import AgentTesting
import Foundation
import Lab
import Testing

/// One world with AWS for the whole suite, and a pod of each kind.
struct AWSWorld: Sendable {
    let world: LabWorld
    let aws: AWSLab
    /// The pod's ServiceAccount names a role.
    let roleA: RunningPod
    /// Another of the same ServiceAccount.
    let roleB: RunningPod
    /// Google's alone: its ServiceAccount names a Google service account.
    let google: RunningPod
    /// The pod's ServiceAccount names nothing.
    let nothing: RunningPod
}

struct AWSWorldTrait: SuiteTrait, TestScoping {
    @TaskLocal static var current: AWSWorld?

    @concurrent func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        try await withWorld { world in
            let aws = try await world.startAWS()
            aws.addServiceAccount("reader", role: "path/reader")
            world.addServiceAccount("plain")
            world.addServiceAccount("linked", impersonating: "g@\(LabWorld.project).iam.gserviceaccount.com")
            let pods = AWSWorld(
                world: world, aws: aws, roleA: try await world.addPod("role-a", serviceAccount: "reader"),
                roleB: try await world.addPod("role-b", serviceAccount: "reader"),
                google: try await world.addPod("google", serviceAccount: "linked"),
                nothing: try await world.addPod("nothing", serviceAccount: "plain"))
            let agent = try await world.startAgent(aws.agentConfiguration)
            do {
                try await Self.$current.withValue(pods, operation: function)
            } catch {
                await agent.kill()
                throw error
            }
            await agent.stop()
        }
    }
}

private let roles = "/latest/meta-data/iam/security-credentials"

@Suite(.serialized, .timeLimit(.minutes(10)), AWSWorldTrait())
struct AWSConformanceTests {
    private let pods: AWSWorld

    init() throws { pods = try #require(AWSWorldTrait.current) }

    @Test("cloud case 1 a session token, with its life in a header", arguments: [1, 10, 60, 300, 600, 21_600])
    func sessionToken(seconds: Int) async throws {
        let answer = try await pods.roleA.request(
            "PUT", "/latest/api/token", ["X-aws-ec2-metadata-token-ttl-seconds: \(seconds)"])
        #expect(answer.status == 200)
        #expect(answer.headers["x-aws-ec2-metadata-token-ttl-seconds"] == "\(seconds)")
        #expect(answer.headers["server"] == "EC2ws" && answer.headers["metadata-flavor"] == nil)
        #expect((1...200).contains(answer.body.utf8.count))
        #expect(answer.body.utf8.allSatisfy { (0x21...0x7e).contains($0) })
    }

    @Test("cloud case 3 a session token without a life", arguments: [nil, "", "0", "21601", "abc", "-1", "1 2", "+5"])
    func wrongSeconds(text: String?) async throws {
        let headers = text.map { ["X-aws-ec2-metadata-token-ttl-seconds\($0.isEmpty ? ";" : ": \($0)")"] } ?? []
        let answer = try await pods.roleA.request("PUT", "/latest/api/token", headers)
        #expect(answer.status == 400, "\(answer)")
    }

    @Test(
        "cloud case 4 a request that came through a proxy",
        arguments: ["X-Forwarded-For: 10.0.0.1", "X-Forwarded-For;", "Forwarded: for=10.0.0.1", "Via: 1.1 squid"])
    func proxied(header: String) async throws {
        let put = try await pods.roleA.request(
            "PUT", "/latest/api/token", ["X-aws-ec2-metadata-token-ttl-seconds: 60", header])
        #expect(put.status == 403 && put.body.contains("NO_PROXY"))
        let token = try await pods.roleA.sessionToken()
        for path in ["\(roles)/", "\(roles)/reader"] {
            let get = try await pods.roleA.request("GET", path, ["X-aws-ec2-metadata-token: \(token)", header])
            #expect(get.status == 403 && get.body.contains("NO_PROXY"))
        }
        let google = try await pods.google.request("GET", "/", [header])
        #expect(google.status == 403 && google.body.contains("NO_PROXY"))
    }

    @Test("cloud case 5 other methods", arguments: ["GET", "POST", "DELETE", "PUT"])
    func methods(method: String) async throws {
        let path = method == "PUT" ? "\(roles)/" : "/latest/api/token"
        let answer = try await pods.roleA.request(method, path, ["X-aws-ec2-metadata-token-ttl-seconds: 60"])
        #expect(answer.status == 405)
    }

    @Test("cloud case 6 another pod's session token")
    func otherPodsToken() async throws {
        let token = try await pods.roleB.sessionToken()
        let header = "X-aws-ec2-metadata-token: \(token)"
        #expect(try await pods.roleA.request("GET", "\(roles)/", [header]).status == 401)
        #expect(try await pods.roleA.request("GET", "\(roles)/reader", [header]).status == 401)
        #expect(try await pods.roleB.request("GET", "\(roles)/", [header]).status == 200)
    }

    @Test("cloud case 8 the role, with and without the final slash", arguments: ["/", ""])
    func listing(end: String) async throws {
        let answer = try await pods.roleA.aws(roles + end)
        #expect(answer.status == 200 && answer.body == "reader")
        #expect(answer.headers["content-type"] == "text/plain" && answer.headers["server"] == "EC2ws")
    }

    @Test(
        "cloud case 9 without a session token",
        arguments: ["", "X-aws-ec2-metadata-token;", "X-aws-ec2-metadata-token: eA"])
    func withoutToken(header: String) async throws {
        for path in ["\(roles)/", "\(roles)/reader", "/latest/meta-data/placement/region", "/latest/user-data"] {
            let answer = try await pods.roleA.request("GET", path, header.isEmpty ? [] : [header])
            #expect(answer.status == 401, "\(path)")
        }
    }

    @Test("cloud case 10 the credentials, every member of them")
    func credentials() async throws {
        let answer = try await pods.roleA.aws("\(roles)/reader")
        let credentials = try AWSCredentials(answer)
        #expect(credentials.code == "Success" && credentials.type == "AWS-HMAC" && credentials.accountID == nil)
        #expect(try #require(credentials.remaining) >= 25 * 60)
        #expect(credentials.lastUpdated?.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/) != nil)
        let record = try #require(pods.aws.tokens.credentials(credentials.accessKeyID))
        #expect(record.subject.podUID == pods.roleA.uid && record.sessionName == "default.role-a")
        #expect(record.secretAccessKey == credentials.secretAccessKey && record.sessionToken == credentials.token)
        #expect(pods.aws.issued(to: pods.roleA).count == 1)
        #expect(answer.headers["cache-control"] == "no-store" && answer.headers["metadata-flavor"] == nil)
    }

    @Test(
        "cloud case 11 another role's name", arguments: ["admin", "READER", "reader2", "reader/", "path/reader", "."])
    func otherRole(name: String) async throws {
        let before = pods.aws.tokens.log.total
        #expect(try await pods.roleA.aws("\(roles)/\(name)").status == (name == "." ? 200 : 404))
        #expect(pods.aws.tokens.log.total == before)
    }

    @Test("cloud case 12 the extended listing and document")
    func extended() async throws {
        #expect(try await pods.roleA.aws("\(roles)-extended/").body == "reader")
        let credentials = try AWSCredentials(try await pods.roleA.aws("\(roles)-extended/reader"))
        #expect(credentials.accountID == AWSLab.accountID)
        for pod in [pods.google, pods.nothing] {
            let answer = try await pod.request("GET", "\(roles)-extended/", ["X-aws-ec2-metadata-token: eA"])
            #expect(answer.status == 401 || answer.status == 404)
        }
    }

    @Test("cloud case 13 where the node is")
    func placement() async throws {
        #expect(try await pods.roleA.aws("/latest/meta-data/placement/region").body == AWSLab.region)
        for end in ["", "/"] {
            let answer = try await pods.roleA.aws("/latest/meta-data/placement/availability-zone\(end)")
            #expect(answer.status == 200 && answer.body == "europe-west1-b")
        }
    }

    @Test("cloud case 14 the identity document, and nothing that is signed")
    func document() async throws {
        let answer = try await pods.roleA.aws("/latest/dynamic/instance-identity/document")
        #expect(
            answer.body
                == #"{"accountId":"111122223333","availabilityZone":"europe-west1-b","region":"eu-west-1"}"#)
        for name in ["signature", "pkcs7", "rsa2048"] {
            #expect(try await pods.roleA.aws("/latest/dynamic/instance-identity/\(name)").status == 404)
        }
    }

    @Test(
        "cloud case 15 what is never served",
        arguments: [
            "/latest/user-data", "/latest/meta-data/", "/latest/meta-data/iam/info", "/latest",
            "/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance",
            "/2021-01-03/meta-data/iam/security-credentials/", "/1.0/user-data", "/latest/meta-data/public-keys/",
        ])
    func neverServed(path: String) async throws {
        #expect(try await pods.roleA.aws(path).status == 404)
    }

    @Test("cloud case 16 over IPv6")
    func ipv6() async throws {
        #expect(try await pods.roleA.aws("\(roles)/", host: .ipv6).body == "reader")
        let credentials = try AWSCredentials(try await pods.roleA.aws("\(roles)/reader", host: .ipv6))
        #expect(pods.aws.tokens.credentials(credentials.accessKeyID)?.subject.podUID == pods.roleA.uid)
    }

    @Test("cloud case 17 pods without a role", arguments: [true, false])
    func withoutRole(isGoogle: Bool) async throws {
        let pod = isGoogle ? pods.google : pods.nothing
        let answer = try await pod.request(
            "PUT", "/latest/api/token", ["X-aws-ec2-metadata-token-ttl-seconds: 60"])
        #expect(answer.status == 403 && answer.body.contains(AWSLab.annotation))
        #expect(pods.aws.issued(to: pod) == [])
    }

    @Test("cloud case 49 a pod that is AWS's alone is not Google's")
    func notGoogles() async throws {
        let root = try await pods.roleA.request("GET", "/")
        #expect(root.status == 200 && root.body == "latest\n" && root.headers["metadata-flavor"] == nil)
        let token = try await pods.roleA.ask()
        #expect(token.status == 403 && token.headers["metadata-flavor"] == nil)
        #expect(try await pods.nothing.ask().token != nil)
    }

    @Test("cloud case 51 every cloud's header on a path of AWS: AWS's rules")
    func everyHeader() async throws {
        let headers = ["Metadata-Flavor: Google", "Metadata: true"]
        #expect(try await pods.roleA.request("GET", "\(roles)/", headers).status == 401)
        let token = try await pods.roleA.sessionToken()
        let answer = try await pods.roleA.request("GET", "\(roles)/", headers + ["X-aws-ec2-metadata-token: \(token)"])
        #expect(answer.body == "reader")
        // And on Google's path a session token opens nothing.
        let google = try await pods.google.request("GET", tokenPath, ["X-aws-ec2-metadata-token: \(token)"])
        #expect(google.status == 403)
    }

    @Test(
        "cloud case 51 other names in Host",
        arguments: ["metadata.google.internal", "evil.example", "169.254.170.23", "[fd20:ce::254]", "127.0.0.1"])
    func hosts(name: String) async throws {
        let answer = try await pods.roleA.request(
            "PUT", "/latest/api/token", ["X-aws-ec2-metadata-token-ttl-seconds: 60", "Host: \(name)"])
        #expect(answer.status == 403)
    }

    @Test("cloud case 53 two pods of one ServiceAccount")
    func twoPods() async throws {
        let a = try AWSCredentials(try await pods.roleA.aws("\(roles)/reader"))
        let b = try AWSCredentials(try await pods.roleB.aws("\(roles)/reader"))
        #expect(a.accessKeyID != b.accessKeyID)
        #expect(pods.aws.tokens.credentials(b.accessKeyID)?.sessionName == "default.role-b")
    }
}
