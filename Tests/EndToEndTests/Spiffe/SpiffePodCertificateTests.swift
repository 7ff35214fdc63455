import AgentTesting
import Crypto
import Foundation
import Lab
import Testing

/// Certificates by PodCertificateRequests: agent, API server and signer, with everything real but the API server, which
/// follows 1.36's measured rules and 1.37's documented ones.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct SpiffePodCertificateTests {
    private static let only = ["spiffe.certificates": Optional("pod-certificate-requests")]
    private static let id = "spiffe://lab.example/ns/default/sa/web"

    /// Runs `body` in a world with a signer of PodCertificateRequests, an API server that serves them, and one pod.
    private static func withRequests(
        _ support: PodCertificateSupport, isAllowed: Bool = true, _ changes: [String: String?] = [:],
        options: [String] = [],
        _ body: (LabWorld, AgentProcess, LabSigner, RunningPod) async throws -> Void
    ) async throws {
        try await withWorld(configure: { $0.kubernetes.podCertificates = support }) { world in
            let signer = try await LabSigner.start(in: world, options: LabSigner.signsRequests + options)
            if isAllowed { try LabSigner.allowRequests(of: "podidentd.io/spiffe", in: world) }
            let agent = try await world.startAgent(signer.agentConfiguration.merging(changes) { $1 })
            world.addServiceAccount("web")
            try await world.ending(agent, signer) {
                try await body(world, agent, signer, try await world.addPod("a", serviceAccount: "web"))
            }
        }
    }

    @Test(
        "30, 39: the agent creates one request for exactly the attributed pod, which gets the certificate that was signed",
        arguments: [PodCertificateSupport.v1, .v1beta1])
    func requested(_ support: PodCertificateSupport) async throws {
        // 1.36 asks for no right.
        try await Self.withRequests(support, isAllowed: support == .v1, Self.only) { world, agent, signer, pod in
            let svid = try await pod.spiffe("svid")
            #expect(svid["id"]?.string == Self.id)
            let request = try #require(world.cluster.kubernetes.podCertificateRequests.first)
            #expect(world.cluster.kubernetes.podCertificateRequests.count == 1)
            #expect(request.key.namespace == "default" && request.outcome == "Issued")
            for (name, value) in [
                ("signerName", "podidentd.io/spiffe"), ("podName", "a"), ("podUID", pod.uid),
                ("serviceAccountName", "web"), ("nodeName", LabWorld.nodeName),
            ] { #expect(request.spec[name]?.string == value) }
            #expect(request.spec["unverifiedUserAnnotations"] == nil)
            #expect(
                !world.cluster.kubernetes.mints.events.contains { $0.audiences == [LabSigner.audience] },
                "no token was shown to the signer")
            // JWT-SVIDs come from the exchange.
            #expect(try await pod.spiffe("jwt", "vault")["id"]?.string == Self.id)
            let explained = try await world.debug(agent, "explain", "default/a")
            #expect(
                explained.output.contains("PodCertificateRequest, certificates.k8s.io/\(support)"),
                "\(explained.output)")
            let check = try await Self.check(world, agent)
            #expect(check.contains("by PodCertificateRequests of certificates.k8s.io/\(support)"), "\(check)")
            await agent.stop()
            let lines = await signer.stop().output.split(separator: "\n").filter {
                $0.contains("podCertificateRequest")
            }
            #expect(lines.count == 1 && lines[0].contains(pod.uid), "\(lines)")
            #expect(lines.first?.contains(#""result":"signed""#) == true)
        }
    }

    private static func check(_ world: LabWorld, _ agent: AgentProcess) async throws -> String {
        let result = try await Command.run([
            "nsenter", "--net=\(world.node.network.path)", "--", world.binaries + "/podidentd", "check", "--config",
            agent.configurationPath,
        ])
        return result.output
    }

    @Test("31: without the right of Kubernetes 1.37 the rule is named, and the exchange is used where that is allowed")
    func forbidden() async throws {
        try await Self.withRequests(.v1, isAllowed: false, Self.only) { world, agent, _, pod in
            let answer = try await world.workload(pod)
            #expect(answer.grpcStatus == 14, "\(answer)")
            for output in [
                answer.grpcMessage ?? "", try await world.debug(agent, "explain", "default/a").output,
                try await Self.check(world, agent),
            ] {
                #expect(output.contains("request-serviceaccounts-podcertificate-signer"), "\(output)")
                #expect(output.contains("podidentd.io:spiffe"), "\(output)")
            }
            #expect(world.cluster.kubernetes.podCertificateRequests.isEmpty)
            // A volume of the pod's own that names the signer is right enough.
            world.cluster.kubernetes.updatePod(namespace: "default", name: "a") {
                $0.volumeSigners = ["podidentd.io/spiffe"]
            }
            try await world.eventually("an SVID") { try await world.workload(pod).messages.count == 1 }
        }
        try await Self.withRequests(.v1, isAllowed: false) { world, agent, _, pod in
            #expect(try await pod.spiffe("svid")["id"]?.string == Self.id)
            #expect(world.cluster.kubernetes.podCertificateRequests.isEmpty)
            try await agent.log.first(within: .seconds(60)) {
                $0.contains("RBAC forbids PodCertificateRequests") && $0.contains("podidentd.io:spiffe")
            }
        }
    }

    @Test("32: 500 and 409 are tried again; an API server without the resource means the exchange, which is said")
    func faults() async throws {
        try await Self.withRequests(.v1, Self.only) { world, _, _, pod in
            for status in [500, 409] {
                world.cluster.kubernetesServer.faults.inject(.status(status, body: "{}"), times: 1) {
                    $0.method == "POST" && $0.path.hasSuffix("/podcertificaterequests")
                }
            }
            let svid = try await pod.spiffe("svid")
            #expect(svid["id"]?.string == Self.id)
            #expect(world.cluster.kubernetes.podCertificateRequests.map(\.outcome) == ["Issued"])
        }
        try await Self.withRequests(.absent) { world, agent, _, pod in
            let svid = try await pod.spiffe("svid")
            #expect(svid["id"]?.string == Self.id)
            try await agent.log.first(within: .seconds(60)) { $0.contains("serves no PodCertificateRequests") }
            let explained = try await world.debug(agent, "explain", "default/a")
            #expect(explained.output.contains("exchange with the signer"))
        }
    }

    @Test("33: a denied request is 7, and is not made again for five minutes")
    func denied() async throws {
        try await Self.withRequests(.v1, Self.only) { world, _, signer, pod in
            // No signer decides, so that the request can be changed before one does.
            let facts = "/api/v1/namespaces/default/serviceaccounts/web"
            world.cluster.kubernetesServer.faults.inject(.status(500, body: "{}"), pathPrefix: facts) {
                $0.bearerToken != nil
            }
            let call = try world.start(pod)
            try await world.eventually("a request") { !world.cluster.kubernetes.podCertificateRequests.isEmpty }
            let name = try #require(world.cluster.kubernetes.podCertificateRequests.first?.key.name)
            world.cluster.kubernetes.tamper(with: name) { request in
                request.spec = request.spec.setting("podUID", "00000000-0000-0000-0000-000000000000")
            }
            world.cluster.kubernetesServer.faults.clear()
            let answer = try await world.answer(call)
            #expect(answer.grpcStatus == 7 && answer.grpcMessage?.contains("PodMismatch") == true, "\(answer)")
            #expect(try await world.workload(pod).grpcStatus == 7)
            #expect(world.cluster.kubernetes.podCertificateRequests.count == 1)
            #expect(world.cluster.kubernetes.podCertificateRequests.first?.outcome == "Denied")
        }
    }

    @Test("34, 35: a node creates no request for another node, pod or ServiceAccount, sees no other, and decides none")
    func attacks() async throws {
        try await Self.withRequests(.v1, Self.only) { world, _, _, pod in
            #expect(try await pod.spiffe("svid")["id"]?.string == Self.id)
            let good = try #require(world.cluster.kubernetes.podCertificateRequests.first?.spec)
            world.cluster.kubernetes.createServiceAccount(namespace: "default", name: "admin")
            let other = world.cluster.kubernetes.createPod(
                namespace: "default", name: "elsewhere", serviceAccount: "admin", node: "node-b")
            for (field, value, expected) in [
                ("podUID", other, 500), ("podName", "elsewhere", 403), ("nodeName", "node-b", 403),
                ("nodeUID", other, 500), ("serviceAccountName", "admin", 403), ("serviceAccountUID", other, 500),
                ("signerName", "other.example/signer", 403), ("stubPKCS10Request", "AAAA", 422),
            ] {
                let status = try await Self.create(world, good.setting(field, .string(value)))
                #expect(status == expected, "\(field): \(status)")
            }
            for seconds in [3599, 7_862_401] {
                let spec = good.setting("maxExpirationSeconds", .integer(Int64(seconds)))
                #expect(try await Self.create(world, spec) == 422)
            }
            #expect(world.cluster.kubernetes.podCertificateRequests.count == 1)
            let url = world.cluster.kubernetesURL + "/apis/certificates.k8s.io/v1/podcertificaterequests"
            let selected = url + "?fieldSelector=spec.nodeName%3D"
            #expect(try await Self.node(world, [url]) == 403)
            #expect(try await Self.node(world, [selected + "node-b"]) == 403)
            #expect(try await Self.node(world, [selected + LabWorld.nodeName]) == 200)
            // A node signs nothing.
            let name = try #require(world.cluster.kubernetes.podCertificateRequests.first?.key.name)
            let status = url.replacingOccurrences(of: "/v1/", with: "/v1/namespaces/default/") + "/\(name)/status"
            let patch = ["-X", "PATCH", "-H", "Content-Type: application/merge-patch+json", "-d", "{}"]
            #expect(try await Self.node(world, patch + [status]) == 403)
        }
    }

    @Test("39: a request that another client with the right to create them invents is denied by the signer itself")
    func invented() async throws {
        try await Self.withRequests(.v1, Self.only) { world, _, signer, pod in
            #expect(try await pod.spiffe("svid")["id"]?.string == Self.id)
            let good = try #require(world.cluster.kubernetes.podCertificateRequests.first?.spec)
            let changes: [(String, JSON)] = [
                ("podUID", "11111111-1111-1111-1111-111111111111"), ("nodeName", "node-b"),
                ("serviceAccountName", "admin"), ("serviceAccountUID", "other"), ("maxExpirationSeconds", 60),
                ("unverifiedUserAnnotations", ["a.example/b": "c"]), ("signerName", "podidentd.io/node-serving"),
            ]
            for (index, (field, value)) in changes.enumerated() {
                world.cluster.kubernetes.plantRequest(
                    namespace: "default", name: "invented-\(index)", spec: good.setting(field, value))
            }
            world.cluster.kubernetes.plantRequest(
                namespace: "default", name: "others", spec: good.setting("signerName", "other.example/signer"))
            try await world.eventually("decisions") {
                world.cluster.kubernetes.podCertificateRequests.count { $0.outcome != nil } == changes.count + 1
            }
            for request in world.cluster.kubernetes.podCertificateRequests {
                let isInvented = request.key.name.hasPrefix("invented")
                let expected = isInvented ? "Denied" : request.key.name == "others" ? nil : "Issued"
                #expect(request.outcome == expected, "\(request)")
            }
        }
    }

    @Test("41: of two signers one holds the Lease and signs requests, and the other does when that one is killed")
    func leader() async throws {
        try await Self.withRequests(.v1, Self.only) { world, _, first, pod in
            #expect(try await pod.spiffe("svid")["id"]?.string == Self.id)
            let holder = world.cluster.kubernetes.leaseHolders["podidentd-signer-leader"]
            let second = try await LabSigner.start(
                in: world, replica: 1, authority: first.authority, options: LabSigner.signsRequests)
            let next = try await world.addPod("b", serviceAccount: "web")
            #expect(try await next.spiffe("svid")["id"]?.string == Self.id)
            #expect(world.cluster.kubernetes.leaseHolders["podidentd-signer-leader"] == holder)
            await first.kill()
            // The bundle has been read; certificates need no other of the signer's answers.
            let late = try await world.addPod("c", serviceAccount: "web")
            try await world.eventually("an SVID by the other") { try await world.workload(late).messages.count == 1 }
            #expect(world.cluster.kubernetes.leaseHolders["podidentd-signer-leader"] != holder)
            let signed = await second.stop().output.split(separator: "\n").filter {
                $0.contains("podCertificateRequest")
            }
            // Nothing of what the first one had to sign, however often the agent asked for the third pod.
            #expect(!signed.isEmpty && signed.allSatisfy { $0.contains(#""pod":"c""#) }, "\(signed)")
            #expect(world.cluster.kubernetes.leaseHolders["podidentd-signer-leader"] == "", "given back")
        }
    }

    // MARK: With the node's credentials

    private static func create(_ world: LabWorld, _ spec: JSON) async throws -> Int {
        let body: JSON = [
            "apiVersion": "certificates.k8s.io/v1", "kind": "PodCertificateRequest",
            "metadata": ["name": .string("attack-\(UUID().uuidString.lowercased())"), "namespace": "default"],
            "spec": spec,
        ]
        return try await node(
            world,
            [
                "-H", "Content-Type: application/json", "-d", body.text,
                world.cluster.kubernetesURL + "/apis/certificates.k8s.io/v1/namespaces/default/podcertificaterequests",
            ])
    }

    private static func node(_ world: LabWorld, _ arguments: [String]) async throws -> Int {
        let result = try await Command.run(
            world.node.processCommand + [
                "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", world.cluster.authorityPath,
                "--cert",
                world.cluster.kubelet.currentCertificatePath,
            ] + arguments)
        return Int(result.output) ?? 0
    }
}

extension JSON {
    /// The object with another value of one member.
    fileprivate func setting(_ name: String, _ value: JSON) -> JSON {
        .object((members ?? []).filter { $0.name != name } + [JSON.Member(name, value)])
    }
}
