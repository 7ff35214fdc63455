import Foundation

/// A request to AWS's or Azure's protocol, and the only status that may answer it.
private struct CloudCase: Sendable {
    let name: String
    let arguments: [String]
    let status: Int

    init(
        _ name: String, method: String = "GET", _ path: String, _ headers: [String], target: String? = nil,
        _ status: Int
    ) {
        self.name = name
        self.status = status
        var arguments = ["-X", method] + headers.flatMap { ["-H", $0] }
        if let target { arguments += ["--request-target", target] }
        self.arguments = arguments + ["http://\(LabNode.metadataAddress)\(path)"]
    }
}

/// C1 to C6: what a pod can do with the protocols of other clouds, where it names no identity but asks for one.
///
/// The control of each row is the same request without what makes it an attack: it gets the pod's own credential.
extension AttackSuite {
    private static let roles = "/latest/meta-data/iam/security-credentials"
    private static let resource = "resource=https://storage.azure.com&api-version=2018-02-01"
    private static let azureToken = "/metadata/identity/oauth2/token?\(resource)"
    private static let seconds = "X-aws-ec2-metadata-token-ttl-seconds: 600"
    private static let azureHeader = "Metadata: true"
    private static let flavor = "Metadata-Flavor: Google"
    private static let forwarded = [
        "X-Forwarded-For: 10.0.0.1", "X-Forwarded-For;", "Forwarded: for=10.0.0.1", "Via: 1.1 squid", "via;",
    ]

    var clouds: [Attack] {
        [
            refused("C1", "another pod's session token, and what looks like one", control: ownRole) {
                try await otherTokens()
            },
            refused("C2", "another role's name, in every spelling", control: ownRole) { try await otherRoles() },
            refused("C3", "another client ID, object ID or resource ID", control: ownToken) { otherClients },
            refused("C4", "one cloud's header for another's path", control: ownToken) { otherHeaders },
            refused("C5", "other hosts, and absolute-form targets", control: ownRole) {
                try await otherHosts()
            },
            refused("C6", "X-Forwarded-For, Forwarded, Via, also empty", control: ownToken) { try await proxied() },
        ]
    }

    // MARK: The attacks

    private func otherTokens() async throws -> [CloudCase] {
        let token = try await sessionToken(of: stage.cloudTarget)
        let own = try await sessionToken(of: stage.cloudMallory)
        let last = own.last == "A" ? "B" : "A"
        let paths = ["/", "/\(AttackStage.malloryRole)", "/\(AttackStage.targetRole)", "-extended/", ""]
        var cases = paths.map { CloudCase("the victim's, at \($0)", Self.roles + $0, [Self.header(token)], 401) }
        let changed: [(name: String, token: String)] = [
            ("cut", String(own.dropLast(4))), ("changed", String(own.dropLast()) + last), ("longer", own + "AAAA"),
            ("with a dot", own + "."), ("of zeros", String(repeating: "A", count: 64)),
        ]
        cases += changed.map { CloudCase("its own, \($0.name)", Self.roles + "/", [Self.header($0.token)], 401) }
        cases.append(CloudCase("an empty one", Self.roles + "/", ["X-aws-ec2-metadata-token;"], 401))
        cases.append(
            CloudCase("its own and the victim's", Self.roles + "/", [Self.header(own), Self.header(token)], 400))
        return cases
    }

    private func otherRoles() async throws -> [CloudCase] {
        let header = Self.header(try await sessionToken(of: stage.cloudMallory))
        let (own, other) = (AttackStage.malloryRole, AttackStage.targetRole)
        return [
            "/\(other)", "-extended/\(other)", "/\(own)/../\(other)", "/./\(other)", "/%6cedger", "/\(other)/",
            "/arn:aws:iam::\(AWSLab.accountID):role/\(other)", "/\(own),\(other)", "/\(other.uppercased())", "/*",
            "/\(own)?role=\(other)&x",
        ].map { path in
            // A query is no part of the name: the last one gets the pod's own, which the outcome tells apart.
            CloudCase(path, Self.roles + path, [header], path.contains("?") ? 200 : 404)
        }
    }

    private var otherClients: [CloudCase] {
        let (own, other) = (AttackStage.malloryClient, AttackStage.targetClient)
        return [
            "client_id=\(other)", "object_id=\(other)", "mi_res_id=/subscriptions/x", "msi_res_id=/subscriptions/x",
            "client_id=\(own)&client_id=\(other)", "client_id=\(other)&client_id=\(own)", "client_id=",
            "client_id=\(own)%00\(other)", "object_id=\(own)",
        ].map { CloudCase($0, "\(Self.azureToken)&\($0)", [Self.azureHeader], 400) }
    }

    private var otherHeaders: [CloudCase] {
        let aws = "X-aws-ec2-metadata-token: x"
        return [
            CloudCase("Azure's path with Google's", Self.azureToken, [Self.flavor], 400),
            CloudCase("Azure's path with AWS's", Self.azureToken, [aws, Self.seconds], 400),
            CloudCase("Azure's path, Metadata: false", Self.azureToken, ["Metadata: false"], 400),
            CloudCase("AWS's path with Google's", Self.roles + "/", [Self.flavor], 401),
            CloudCase("AWS's path with Azure's", Self.roles + "/", [Self.azureHeader], 401),
            CloudCase("AWS's path with all but its own", Self.roles + "/", [Self.azureHeader, Self.flavor], 401),
            CloudCase("AWS's token by GET", "/latest/api/token", [Self.seconds, Self.azureHeader], 405),
            CloudCase("Google's path with AWS's and Azure's", Self.tokenPath, [aws, Self.azureHeader], 403),
        ]
    }

    private func otherHosts() async throws -> [CloudCase] {
        let header = Self.header(try await sessionToken(of: stage.cloudMallory))
        let hosts = [
            "evil.example", "metadata.google.internal", "169.254.169.254.evil.example",
            "localhost", "127.0.0.1", "[fd20:ce::254]", "0251.0376.0251.0376", "2852039166", "169.254.170.2",
        ]
        let path = "\(Self.roles)/\(AttackStage.malloryRole)"
        return hosts.flatMap { host in
            [
                CloudCase(
                    "token, Host \(host)", method: "PUT", "/latest/api/token", [Self.seconds, "Host: \(host)"], 403),
                CloudCase("role, Host \(host)", path, [header, "Host: \(host)"], 403),
                CloudCase("Azure, Host \(host)", Self.azureToken, [Self.azureHeader, "Host: \(host)"], 403),
            ]
        } + [
            CloudCase("absolute", path, [header], target: "http://evil.example\(path)", 403),
            CloudCase(
                "absolute, Azure", Self.azureToken, [Self.azureHeader], target: "http://evil.example\(Self.azureToken)",
                403),
        ]
    }

    private func proxied() async throws -> [CloudCase] {
        let header = Self.header(try await sessionToken(of: stage.cloudMallory))
        return Self.forwarded.flatMap { proxy in
            [
                CloudCase("token, \(proxy)", method: "PUT", "/latest/api/token", [Self.seconds, proxy], 403),
                CloudCase("role, \(proxy)", "\(Self.roles)/\(AttackStage.malloryRole)", [header, proxy], 403),
                CloudCase("Azure, \(proxy)", Self.azureToken, [Self.azureHeader, proxy], 403),
                CloudCase("Azure's probe, \(proxy)", Self.azureToken, [proxy], 403),
            ]
        }
    }

    // MARK: Asking

    /// All cases by the attacking pod; held if each has its one status, and nothing that came back is another's.
    private func refused(
        _ number: String, _ attempt: String, control: @escaping @Sendable () async throws -> Bool,
        _ cases: @escaping @Sendable () async throws -> [CloudCase]
    ) -> Attack {
        Attack(
            number, .unprivileged, attempt, .text("all refused as they should be"), own: stage.cloudMallory,
            control: control
        ) {
            var surprises: [String] = []
            for one in try await cases() {
                let (status, body) = try await ask(stage.cloudMallory, one.arguments)
                if let owner = owner(of: body), owner != stage.cloudMallory.uid {
                    surprises.append("\(one.name): A CREDENTIAL of \(name(of: owner) ?? owner)")
                } else if status != one.status {
                    surprises.append("\(one.name): \(status), not \(one.status)")
                }
            }
            let strange = stage.aws.issued(to: stage.cloudMallory).filter {
                $0.role != AWSLab.role(AttackStage.malloryRole)
            }
            if !strange.isEmpty { surprises.append("STS issued \(strange.map(\.role))") }
            return surprises.isEmpty ? "all refused as they should be" : surprises.joined(separator: "; ")
        }
    }

    private func ownRole() async throws -> Bool {
        let pods = [(stage.cloudMallory, AttackStage.malloryRole), (stage.cloudTarget, AttackStage.targetRole)]
        for (pod, role) in pods {
            let header = Self.header(try await sessionToken(of: pod))
            let one = CloudCase(role, "\(Self.roles)/\(role)", [header], 200)
            guard owner(of: try await ask(pod, one.arguments).body) == pod.uid else { return false }
        }
        return true
    }

    private func ownToken() async throws -> Bool {
        for (pod, client) in [
            (stage.cloudMallory, AttackStage.malloryClient), (stage.cloudTarget, AttackStage.targetClient),
        ] {
            let one = CloudCase("own", "\(Self.azureToken)&client_id=\(client)", [Self.azureHeader], 200)
            guard owner(of: try await ask(pod, one.arguments).body) == pod.uid else { return false }
        }
        return try await ownRole()
    }

    private func sessionToken(of pod: RunningPod) async throws -> String {
        let one = CloudCase("token", method: "PUT", "/latest/api/token", [Self.seconds], 200)
        let (status, body) = try await ask(pod, one.arguments)
        guard status == 200 else { throw AttackNotMounted("no session token: \(status) \(body)") }
        return body
    }

    private static func header(_ token: String) -> String { "X-aws-ec2-metadata-token: \(token)" }

    private func ask(_ pod: RunningPod, _ arguments: [String]) async throws -> (status: Int, body: String) {
        let command = ["curl", "-sS", "--globoff", "--path-as-is", "--max-time", "10", "-w", "\n%{http_code}"]
        let result = try await Command.run(pod.commandLine(command + arguments))
        let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
        guard result.succeeded, let status = lines.last.flatMap({ Int($0) }) else {
            throw AttackNotMounted("curl ended with \(result.status): \(result.errorOutput)")
        }
        return (status, lines.dropLast().joined(separator: "\n"))
    }

    /// The UID of the pod whose credential is in an answer.
    private func owner(of body: String) -> String? {
        guard let answer = try? JSON(parsing: body.utf8) else { return nil }
        if let key = answer["AccessKeyId"]?.string {
            return stage.aws.tokens.credentials(key)?.subject.podUID ?? "NOBODY KNOWN"
        }
        guard let token = answer["access_token"]?.string else { return nil }
        return stage.azure.entra.describe(token)?.subject.podUID
            ?? world.cluster.ledger.describe(token)?.subject.podUID ?? "NOBODY KNOWN"
    }
}
