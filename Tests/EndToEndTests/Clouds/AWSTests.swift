import AgentTesting
import Foundation
import Lab
import Testing

private let roles = "/latest/meta-data/iam/security-credentials"

/// AWS's pods, and what they see of upstreams, of changes and of the agent's own restarts.
@Suite(.serialized, .timeLimit(.minutes(10))) struct AWSTests {
    @Test("cloud case 6 a session token outlives a restart and an upgrade of the agent")
    func sessionTokenOutlivesAgents() async throws {
        try await withAWS { world, aws, pod in
            let first = try await world.startAgent(aws.agentConfiguration)
            let token = try await pod.sessionToken()
            await first.stop()
            let second = try await world.startAgent(aws.agentConfiguration)
            let header = "X-aws-ec2-metadata-token: \(token)"
            #expect(try await pod.request("GET", "\(roles)/", [header]).body == "reader")
            let third = try await world.startAgent(aws.agentConfiguration)
            #expect(try await pod.request("GET", "\(roles)/reader", [header]).status == 200)
            await third.stop()
            await second.stop()
        }
    }

    @Test("cloud case 2 a session token ends")
    func sessionTokenEnds() async throws {
        try await withAWSAgent { _, _, pod in
            let token = try await pod.sessionToken(seconds: 1)
            let header = "X-aws-ec2-metadata-token: \(token)"
            let end = ContinuousClock.now + .seconds(60)
            var status = 200
            while status == 200, ContinuousClock.now < end {
                status = try await pod.request("GET", "\(roles)/", [header]).status
            }
            #expect(status == 401)
        }
    }

    @Test("cloud case 22 a hundred first requests make one TokenRequest and one call of STS")
    func singleFlight() async throws {
        try await withAWSAgent { world, aws, pod in
            let token = try await pod.sessionToken()
            let loop =
                "seq 100 | xargs -P 32 -I{} curl -s -o /dev/null -w '%{http_code}\\n' "
                + "-H 'X-aws-ec2-metadata-token: \(token)' http://169.254.169.254\(roles)/reader"
            let result = try await pod.run("sh", "-c", loop)
            #expect(result.output.split(separator: "\n").allSatisfy { $0 == "200" })
            #expect(aws.issued(to: pod).count == 1)
            #expect(world.cluster.tokenRequests(of: pod).count == 1)
        }
    }

    @Test("cloud case 19 the mint begins with the session token: credentials come at the first try")
    func announced() async throws {
        try await withAWSAgent { world, aws, pod in
            aws.tokenServer.faults.inject(.delay(.milliseconds(400)))
            let token = try await pod.sessionToken()
            let mint = try await pod.request("GET", "\(roles)/reader", ["X-aws-ec2-metadata-token: \(token)"])
            #expect(mint.status == 200)
            #expect(aws.issued(to: pod).count == 1)
        }
    }

    @Test("cloud case 22 a client that hangs up does not end the mint")
    func hangUp() async throws {
        try await withAWSAgent { _, aws, pod in
            aws.tokenServer.faults.inject(.delay(.milliseconds(1200)))
            let token = try await pod.sessionToken()
            let header = "X-aws-ec2-metadata-token: \(token)"
            let first = try await pod.request("GET", "\(roles)/reader", [header])
            #expect(first.status == 503 && first.retryAfter != nil)
            var status = 503
            let end = ContinuousClock.now + .seconds(60)
            while status == 503, ContinuousClock.now < end {
                status = try await pod.request("GET", "\(roles)/reader", [header]).status
            }
            #expect(status == 200 && aws.issued(to: pod).count == 1)
        }
    }

    @Test("cloud case 20 cloud case 21 while STS is down a valid credential is served, and without one 503")
    func outage() async throws {
        try await withAWSAgent { world, aws, pod in
            let before = try AWSCredentials(try await pod.aws("\(roles)/reader"))
            await aws.tokenServer.takeDown()
            let after = try AWSCredentials(try await pod.aws("\(roles)/reader"))
            #expect(before.accessKeyID == after.accessKeyID)
            let other = try await world.addPod("late", serviceAccount: "reader")
            #expect(try await other.aws("\(roles)/").body == "reader")
            let answer = try await other.aws("\(roles)/reader")
            #expect(answer.status == 503 && answer.retryAfter != nil)
            try await aws.tokenServer.bringUp()
        }
    }

    @Test(
        "cloud case 25 STS's failures: repeated, with a new token, or told",
        arguments: [
            (status: 400, code: "IDPCommunicationError", tokenRequests: 1),
            (status: 400, code: "Throttling", tokenRequests: 1),
            (status: 500, code: "InternalFailure", tokenRequests: 1),
            (status: 400, code: "InvalidIdentityToken", tokenRequests: 2),
            (status: 400, code: "ExpiredTokenException", tokenRequests: 2),
        ])
    func passingFailures(failure: (status: Int, code: String, tokenRequests: Int)) async throws {
        try await withAWSAgent { world, aws, pod in
            aws.tokens.fail(with: [(failure.status, failure.code)])
            let answer = try await pod.aws("\(roles)/reader")
            #expect(answer.status == 200)
            #expect(world.cluster.tokenRequests(of: pod).count == failure.tokenRequests)
        }
    }

    @Test("cloud case 25 what STS refuses for good is asked for once, and told")
    func finalFailures() async throws {
        try await withAWSAgent { world, aws, _ in
            for (status, code) in [
                (403, "IDPRejectedClaim"), (403, "RegionDisabledException"), (400, "MalformedPolicyDocument"),
                (400, "PackedPolicyTooLarge"), (400, "ValidationError"),
            ] {
                let pod = try await world.addPod(code.lowercased(), serviceAccount: "reader")
                let before = aws.tokenServer.requests.total
                aws.tokens.fail(with: [(status, code)])
                let answer = try await pod.aws("\(roles)/reader")
                #expect(answer.status == 401 && answer.body.contains(code), "\(code): \(answer.status)")
                #expect(aws.tokenServer.requests.total == before + 1, "\(code)")
                #expect(world.cluster.tokenRequests(of: pod).count == 1, "\(code)")
            }
        }
    }

    @Test("cloud case 25 a role that does not trust the ServiceAccount: 401, an Event, and 404 at the listing")
    func untrusted() async throws {
        try await withAWS { world, aws, _ in
            aws.addServiceAccount("stranger", role: "admin", isTrusted: false)
            let pod = try await world.addPod("stranger", serviceAccount: "stranger")
            let agent = try await world.startAgent(aws.agentConfiguration)
            let refused = try await pod.aws("\(roles)/admin")
            #expect(refused.status == 401)
            #expect(refused.body.contains("system:serviceaccount:default:stranger"))
            #expect(refused.body.contains(AWSLab.role("admin")) && !refused.body.contains("\n"))
            let listing = try await pod.aws("\(roles)/")
            #expect(listing.status == 404 && listing.body.contains("AccessDenied"))
            let events = world.cluster.kubernetes.events
            let event = try await events.first { $0["reason"]?.string == "CloudCredentialDenied" }
            #expect(event["involvedObject"]?["uid"]?.string == pod.uid)
            // Only one call, however often the pod asks.
            #expect(aws.tokenServer.requests.total == 1)
            let explained = try await Command.run([
                world.binaries + "/podidentd", "debug", "explain", pod.uid, "--socket", agent.adminSocket,
            ]).output
            #expect(explained.contains("aws exchange") && explained.contains("trust policy"))
            await agent.stop()
        }
    }

    @Test("the second lock: a role that the namespace may not use is never asked for")
    func secondLock() async throws {
        try await withAWS { world, aws, pod in
            aws.addServiceAccount("other", role: "admin")
            let other = try await world.addPod("other", serviceAccount: "other")
            var configuration = aws.agentConfiguration
            configuration["aws.role-allow"] = "default=\(AWSLab.role("*reader")), team-a=*"
            let agent = try await world.startAgent(configuration)
            #expect(try await pod.aws("\(roles)/reader").status == 200)
            let refused = try await other.aws("\(roles)/")
            #expect(refused.status == 404 && refused.body.contains("aws.role-allow"))
            #expect(try await other.aws("\(roles)/admin").status == 404)
            #expect(aws.issued(to: other) == [])
            try await world.cluster.kubernetes.events.first { $0["reason"]?.string == "CloudIdentityNotAllowed" }
            await agent.stop()
        }
    }

    @Test("cloud case 18 an annotation that is no ARN, and one on the pod alone")
    func wrongAnnotation() async throws {
        try await withAWS { world, aws, _ in
            world.cluster.kubernetes.createServiceAccount(
                namespace: "default", name: "wrong", annotations: [AWSLab.annotation: "arn:aws:iam::1:role/x"])
            let pod = try await world.addPod("wrong", serviceAccount: "wrong")
            let agent = try await world.startAgent(aws.agentConfiguration)
            let answer = try await pod.aws("\(roles)/")
            #expect(answer.status == 404 && answer.body.contains(AWSLab.annotation))
            await agent.stop()
        }
    }

    private static let wrongAnswers = [
        ("SessionToken>", "Session>"), ("assumed-role/reader", "assumed-role/admin"),
        ("system:serviceaccount:default:reader", "system:serviceaccount:default:other"),
        ("<Audience>sts", "<Audience>ec2"), ("</Credentials>", ""), ("<Expiration>20", "<Expiration>19"),
        ("<Credentials>", "<!DOCTYPE x><Credentials>"),
    ]

    @Test("cloud case 28 an answer of STS that is not the one that was asked for")
    func wrongAnswer() async throws {
        // In worlds of their own: each pod is answered when the agent has tried for a second.
        _ = try await concurrently(Self.wrongAnswers, limit: 4) { text, other in
            try await withAWSAgent { _, aws, pod in
                aws.tokens.rewriteAnswers { $0.replacing(text, with: other) }
                let answer = try await pod.aws("\(roles)/reader")
                #expect(answer.status == 503, "\(text)")
            }
        }
    }

    @Test(
        "cloud case 24 cloud case 26 the call of STS: in the body, without a header that authorizes, with the pod in its name"
    )
    func call() async throws {
        try await withAWSAgent { world, aws, _ in
            let name = String(repeating: "a", count: 63) + "." + String(repeating: "b", count: 60)
            let pods = [
                try await world.addPod(name + "-1", serviceAccount: "reader"),
                try await world.addPod(name + "-2", serviceAccount: "reader"),
            ]
            for pod in pods { #expect(try await pod.aws("\(roles)/reader").status == 200) }
            let names = pods.map { aws.issued(to: $0).first?.sessionName ?? "" }
            #expect(Set(names).count == 2 && names.allSatisfy { $0.utf8.count == 64 && $0.hasPrefix("default.aaa") })
            for call in aws.tokenServer.requests.events.map(\.request) {
                #expect(call.target == "/" && call.header("Authorization") == nil && call.query.isEmpty)
                #expect(call.bodyText.contains("DurationSeconds=3600"))
            }
        }
    }

    @Test("cloud case 54 another pod of the same name gets credentials of its own, and no use of the old token")
    func sameName() async throws {
        try await withAWSAgent { world, aws, pod in
            let token = try await pod.sessionToken()
            let before = try AWSCredentials(try await pod.aws("\(roles)/reader"))
            await world.deletePod(pod)
            let next = try await world.addPod("role", serviceAccount: "reader")
            let header = "X-aws-ec2-metadata-token: \(token)"
            #expect(try await next.request("GET", "\(roles)/reader", [header]).status == 401)
            let after = try AWSCredentials(try await next.aws("\(roles)/reader"))
            #expect(before.accessKeyID != after.accessKeyID)
            #expect(aws.tokens.credentials(after.accessKeyID)?.subject.podUID == next.uid)
        }
    }

    @Test("cloud case 29 cloud case 30 cloud case 31 the endpoint for containers, where it is switched on")
    func containers() async throws {
        try await withAWS { world, aws, pod in
            let other = try await world.addPod("other", serviceAccount: "reader")
            let agent = try await world.startAgent(
                aws.agentConfiguration.merging(["aws.container-endpoint": "true"]) { $1 })
            let path = "/v1/credentials"
            for host in [MetadataHost.container, .podIdentity, .podIdentity6] {
                let answer = try await pod.request("GET", path, host: host)
                let credentials = try AWSCredentials(answer)
                #expect(credentials.accountID == AWSLab.accountID && credentials.code == nil)
                #expect(aws.tokens.credentials(credentials.accessKeyID)?.subject.podUID == pod.uid)
                for task in ["/v2/metadata", "/v3/", "/v4/x"] {
                    #expect(try await pod.request("GET", task, host: host).status == 404)
                }
            }
            #expect(aws.issued(to: pod).count == 1)
            func token(of uid: String) -> String {
                let claims = Data(#"{"kubernetes.io":{"pod":{"uid":"\#(uid)"}}}"#.utf8)
                return "e30." + claims.base64URL + ".AA"
            }
            for (header, status) in [
                (token(of: pod.uid), 200), (token(of: other.uid), 403), ("garbage", 400), ("a.b.c", 400),
            ] {
                let answer = try await pod.request("GET", path, ["Authorization: \(header)"], host: .podIdentity)
                #expect(answer.status == status, "\(header)")
            }
            #expect(try await pod.request("GET", path).status == 403)
            let role = "\(roles)/reader"
            #expect(
                try await pod.request("GET", role, ["X-aws-ec2-metadata-token: x"], host: .podIdentity).status == 403)
            await agent.stop()
        }
    }

    @Test("cloud case 55 a request through a proxy is refused, and the proxy's pod has an Event that names NO_PROXY")
    func proxied() async throws {
        try await withAWSAgent { world, aws, pod in
            let answer = try await pod.request(
                "PUT", "/latest/api/token", ["X-aws-ec2-metadata-token-ttl-seconds: 60", "Via: 1.1 squid"])
            #expect(answer.status == 403)
            let event = try await world.cluster.kubernetes.events.first { $0["reason"]?.string == "ProxiedRequest" }
            #expect(event["involvedObject"]?["uid"]?.string == pod.uid)
            #expect(event["message"]?.string?.contains("NO_PROXY") == true)
            #expect(aws.tokens.log.total == 0)
        }
    }

    @Test("without AWS in the configuration nothing of it is served, and its addresses stay refused")
    func off() async throws {
        try await withAWS { world, _, pod in
            let agent = try await world.startAgent()
            let answer = try await pod.request(
                "PUT", "/latest/api/token", ["X-aws-ec2-metadata-token-ttl-seconds: 60"])
            #expect(answer.status == 403 && answer.headers["server"] == "GKE Metadata Server")
            let result = try await pod.run("curl", "-sS", "--globoff", "--max-time", "60", "http://[fd00:ec2::254]/")
            #expect(result.status == 7, "\(result)")
            await agent.stop()
        }
    }
}

/// A world with AWS and a pod whose ServiceAccount names a role.
private func withAWS(_ body: (LabWorld, AWSLab, RunningPod) async throws -> Void) async throws {
    try await withWorld { world in
        let aws = try await world.startAWS()
        aws.addServiceAccount("reader", role: "path/reader")
        try await body(world, aws, try await world.addPod("role", serviceAccount: "reader"))
    }
}

/// The same with a running agent.
private func withAWSAgent(_ body: (LabWorld, AWSLab, RunningPod) async throws -> Void) async throws {
    try await withAWS { world, aws, pod in
        let agent = try await world.startAgent(aws.agentConfiguration)
        do {
            try await body(world, aws, pod)
        } catch {
            await agent.kill()
            throw error
        }
        await agent.stop()
    }
}

extension LabCluster {
    /// The TokenRequests that were made for a pod.
    fileprivate func tokenRequests(of pod: RunningPod) -> [LabRequestRecord] {
        kubernetesServer.requests.events.filter { record in
            record.method == "POST" && record.path.hasSuffix("/token") && record.request.bodyText.contains(pod.uid)
        }
    }
}
