import Foundation
import NIOCore

/// S3 to S5: certificates of another pod, tokens that prove nothing, and a stolen node's credentials.
extension AttackSuite {
    private static let emailPath = "/computeMetadata/v1/instance/service-accounts/default/email"

    // MARK: S3

    /// The statuses that metadata over TLS answers the attacker's pod with its own certificate, and with the victim's.
    func certificates() async throws -> (own: Int, foreign: Int) {
        var statuses: [Int] = []
        for pod in [mallory, target] {
            let file = try await certificateFile(of: pod)
            let result = try await Command.run(
                mallory.commandLine(
                    Attacker.ordinary.confine([
                        "curl", "-sk", "--max-time", "10", "-o", "/dev/null", "-w", "%{http_code}", "-E", file, "-H",
                        "Metadata-Flavor: Google", "https://\(LabNode.metadataAddress)\(Self.emailPath)",
                    ])))
            statuses.append(Int(result.output) ?? 0)
        }
        return (statuses[0], statuses[1])
    }

    /// The pod's key and certificate, as its endpoint gives them, in one file.
    private func certificateFile(of pod: RunningPod) async throws -> String {
        let command = try pod.start([world.binaries + "/podidentd-lab", "workload"])
        let output = try AttackStage.output(of: await command.result())
        let answer = try JSONDecoder().decode(WorkloadResponse.self, from: Data(output.utf8))
        guard let message = answer.messages.first.flatMap({ Data(base64Encoded: $0) }),
            let svid = ProtobufFields(.init(bytes: message)).first(1).map({ ProtobufFields($0) }),
            let chain = svid.first(2), let key = svid.first(3)
        else { throw AttackNotMounted("no SVID: \(answer)") }
        let parts = [("PRIVATE KEY", key), ("CERTIFICATE", chain)].map { name, bytes in
            let text = Data(bytes.readableBytesView).base64EncodedString(options: .lineLength64Characters)
            return "-----BEGIN \(name)-----\n\(text)\n-----END \(name)-----\n"
        }
        let path = world.node.directory + "/svid-\(pod.name).pem"
        try parts.joined().write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    // MARK: S4

    /// A token of the signer's audience, as a volume of the attacker's pod would hold it.
    func ownProof() async throws -> String {
        try world.cluster.kubernetes.projectedToken(
            namespace: "mallory", pod: mallory.name, audience: LabSigner.audience)
    }

    func exchange(
        _ token: String?, audience: String? = nil, csr: String? = nil, isServing: Bool = false
    ) async throws -> (status: Int, body: String) {
        let signer = try await stage.signer()
        var fields: [JSON.Member] = []
        if let audience { fields.append(.init("audience", [.string(audience)])) }
        if let csr { fields.append(.init("csr", .string(csr))) }
        if isServing { fields.append(.init("serving", true)) }
        let header = token.map { ["-H", "Authorization: Bearer \($0)"] } ?? []
        let result = try await Command.run(
            mallory.commandLine(
                Attacker.unprivileged.confine(
                    ["curl", "-sk", "--max-time", "10", "-w", "\n%{http_code}"] + header
                        + ["-d", JSON.object(fields).text, "https://\(LabNode.address):\(signer.port)/v1/exchange"])))
        let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
        return (lines.last.flatMap { Int($0) } ?? 0, lines.dropLast().joined(separator: "\n"))
    }

    func otherProofs() async throws -> [String] {
        let kubernetes = world.cluster.kubernetes
        let own = try await ownProof()
        let api = try kubernetes.projectedToken(namespace: "mallory", pod: mallory.name)
        let vault = try kubernetes.projectedToken(namespace: "mallory", pod: mallory.name, audience: "vault")
        let victims = try kubernetes.projectedToken(namespace: "victim", pod: target.name, audience: "vault")
        let changed = String(own.dropLast(8)) + "AAAAAAAA"
        var surprises: [String] = []
        for (name, token) in [
            ("no token", nil), ("the API server's audience", api), ("another audience", vault),
            ("the victim's token of another audience", victims), ("a changed signature", changed), ("text", "a.b.c"),
        ] as [(String, String?)] {
            let answer = try await exchange(token, audience: "x")
            if answer.status != 401 { surprises.append("\(name): \(answer.status)") }
        }
        for (name, request) in [
            ("a request that names the victim", try await signingRequest(names: LabSigner.id("victim", "default"))),
            ("a request with a subject", try await signingRequest(names: nil, subject: "/CN=victim")),
        ] {
            let answer = try await exchange(own, csr: request)
            if answer.status != 400 { surprises.append("\(name): \(answer.status)") }
        }
        let empty = try await signingRequest(names: nil)
        let serving = try await exchange(own, csr: empty, isServing: true)
        if serving.status != 403 { surprises.append("a certificate of the metadata server: \(serving.status)") }
        let answer = try await exchange(own, csr: empty)
        let id = (try? JSON(parsing: answer.body.utf8))?["spiffeID"]?.string
        if answer.status != 200 || id != LabSigner.id("mallory", "default") {
            surprises.append("its own: \(answer.status) \(answer.body)")
        }
        return surprises
    }

    private func signingRequest(names id: String?, subject: String = "/") async throws -> String {
        let extensions = id.map { ["-addext", "subjectAltName=URI:\($0)"] } ?? []
        let script = """
            openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout /dev/null -outform DER "$@" |
                base64 -w0
            """
        return try await Command.require(["sh", "-c", script, "sh", "-subj", subject] + extensions)
    }

    // MARK: S5

    /// The status of a PodCertificateRequest for the attacker's own pod with other values, by this node or by a token.
    func requested(_ changes: [String: String], token: String? = nil) async throws -> Int {
        let kubernetes = world.cluster.kubernetes
        let csr = try await signingRequest(names: nil)
        var fields = try kubernetes.certificateFacts(namespace: "mallory", pod: mallory.name)
        fields["signerName"] = "podidentd.io/spiffe"
        fields["stubPKCS10Request"] = csr
        fields.merge(changes) { $1 }
        let body: JSON = [
            "apiVersion": "certificates.k8s.io/v1", "kind": "PodCertificateRequest",
            "metadata": ["name": .string("attack-\(UUID().uuidString.lowercased())"), "namespace": "mallory"],
            "spec": JSON.map(fields),
        ]
        let credentials =
            token.map { ["-H", "Authorization: Bearer \($0)"] }
            ?? ["--cert", world.cluster.kubelet.currentCertificatePath]
        let url = world.cluster.kubernetesURL + "/apis/certificates.k8s.io/v1/namespaces/mallory/podcertificaterequests"
        let result = try await Command.run(
            world.node.processCommand + [
                "curl", "-s", "--max-time", "10", "-o", "/dev/null", "-w", "%{http_code}", "--cacert",
                world.cluster.authorityPath, "-H", "Content-Type: application/json", "-d", body.text,
            ] + credentials + [url])
        return Int(result.output) ?? 0
    }

    func otherRequests() async throws -> [String] {
        let kubernetes = world.cluster.kubernetes
        kubernetes.createServiceAccount(namespace: "mallory", name: "admin")
        let elsewhere = kubernetes.createPod(
            namespace: "mallory", name: "elsewhere", serviceAccount: "admin", node: "node-b")
        let token = try kubernetes.projectedToken(namespace: "mallory", pod: mallory.name)
        var surprises: [String] = []
        // NodeRestriction answers 403 to a name that does not fit, and 500 to a UID.
        for (name, changes, bearer, refusal) in [
            ("another node's pod", ["podName": "elsewhere", "podUID": elsewhere], nil, 403),
            ("another node's name", ["nodeName": "node-b"], nil, 403),
            ("another ServiceAccount", ["serviceAccountName": "admin"], nil, 403),
            ("another pod's UID", ["podUID": target.uid], nil, 500),
            ("another signer", ["signerName": "a.example/b"], nil, 403), ("a pod's own token", [:], token, 403),
        ] as [(String, [String: String], String?, Int)] {
            let status = try await requested(changes, token: bearer)
            if status != refusal { surprises.append("\(name): \(status)") }
        }
        return surprises
    }
}
