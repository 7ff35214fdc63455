import AgentTesting
import Foundation
import Lab
import Testing

/// The numbered cases of the SPIFFE checklist that a raw caller asks, end to end.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct SpiffeConformanceTests {
    @Test("4, 7 to 12: callers that are none, and calls that are none, in one world")
    func rawCalls() async throws {
        try await withSigner { world, _, _ in
            world.addServiceAccount("web")
            let pod = try await world.addPod("a", serviceAccount: "web")
            // 4: straight to the agent's port.
            let direct = try await world.workload(
                pod, "--address", LabNode.address, "--port", "\(AgentProcess.port)")
            #expect(direct.grpcStatus == nil && direct.failure != nil)
            // 7: the security header.
            for header in [
                ["--bare"], ["--header", "workload.spiffe.io=True"],
                ["--header", "workload.spiffe.io=true", "--header", "workload.spiffe.io=true"],
            ] {
                let answer = try await world.workload(pod, header)
                #expect(answer.grpcStatus == 3, "\(header): \(answer)")
                #expect(answer.grpcMessage == "security header missing from request")
            }
            // 8: what is not served.
            for path in ["FetchWITSVID", "FetchWITBundles", "Nothing", "/other.Service/FetchX509SVID"] {
                #expect(try await world.workload(pod, "--path", path).grpcStatus == 12, "\(path)")
            }
            // 9: another authority.
            #expect(try await world.workload(pod, "--authority", "attacker.example:9256").grpcStatus == 3)
            // 10: HTTP/1.1, which an SSRF would speak.
            let curl = try await pod.run("curl", "-s", "--max-time", "60", "http://169.254.169.254:9256/")
            #expect([52, 56, 1].contains(curl.status), "\(curl.status) \(curl.output)")
            // 11: a compressed message.
            #expect(try await world.workload(pod, "--body", "0100000000").grpcStatus == 12)
            // 12: a message and a header that are too long.
            #expect(try await world.workload(pod, "--path", "FetchJWTSVID", "--zeros", "2000000").grpcStatus == 8)
            let long = try await world.workload(pod, "--header", "x=" + String(repeating: "a", count: 40_000))
            #expect(long.messages.isEmpty, "\(long)")
            // After all of that the endpoint serves as before.
            #expect(try await world.workload(pod).messages.count == 1)
            #expect(world.cluster.trap?.connections == 0)
        }
    }

    @Test("5, 14: no identity for a finished, a static and a denied pod, and for what is no pod")
    func refusals() async throws {
        try await withSigner(["policies": "[{policy: deny, namespace: locked}]"]) { world, _, _ in
            world.addServiceAccount("web")
            world.addServiceAccount("web", namespace: "locked")
            let locked = try await world.addPod("locked", namespace: "locked", serviceAccount: "web")
            // The kernel refuses the connection as soon as it knows the policy, and the agent until then.
            #expect(try await world.workload(locked).messages.isEmpty)
            let pod = try await world.addPod("done", serviceAccount: "web")
            #expect(try await world.workload(pod).messages.count == 1)
            world.cluster.kubernetes.updatePod(namespace: "default", name: "done") { $0.phase = "Succeeded" }
            try await world.eventually("a refusal") { try await world.workload(pod).grpcStatus == 7 }
            let finished = try await world.workload(pod)
            #expect(finished.grpcMessage?.contains("no identity issued") == true, "\(finished)")
            #expect(finished.grpcMessage?.contains("has finished") == true)

            let hash = "0123456789abcdef0123456789abcdef"
            world.cluster.kubernetes.createPod(
                namespace: "kube-system", name: "etcd", node: LabWorld.nodeName, staticConfigHash: hash)
            let mirrored = try await world.node.addPod(
                RunningPodSpecification(name: "etcd", namespace: "kube-system", uid: hash))
            let mirror = try await world.workload(mirrored)
            #expect(mirror.grpcStatus == 7 && mirror.grpcMessage?.contains("static pod") == true, "\(mirror)")

            // The machine itself is redirected by no hook.
            let host = try await world.answer(
                try Command(world.node.processCommand + [world.binaries + "/podidentd-lab", "workload"]))
            #expect(host.messages.isEmpty && host.failure != nil, "\(host)")
        }
    }

    @Test("13: a call of a pod that is not known yet is held until it is, and ends with 14 when it never is")
    func unknownPod() async throws {
        try await withSigner { world, _, _ in
            world.addServiceAccount("web")
            let specification = RunningPodSpecification(name: "late")
            let pod = try await world.node.addPod(specification)
            let call = try world.start(pod)
            // The pod's record comes while its call waits.
            world.cluster.kubernetes.createPod(
                namespace: "default", name: "late", serviceAccount: "web", node: LabWorld.nodeName,
                uid: specification.uid)
            #expect(try await world.answer(call).messages.count == 1)
            let never = try await world.node.addPod(RunningPodSpecification(name: "never"))
            let answer = try await world.workload(never)
            #expect(answer.grpcStatus == 14, "\(answer)")
        }
    }

    @Test("15, 16: a stream ends with 14 when the agent stops, and clients are served by the next agent")
    func drain() async throws {
        try await withSigner { world, agent, signer in
            world.addServiceAccount("web")
            let pod = try await world.addPod("a", serviceAccount: "web")
            let stream = try world.start(pod, "--messages", "0")
            try await world.eventually("one stream") { try await world.openStreams() == 1 }
            let watch = try pod.start(SpiffeTests.command("watch", "2"))
            try await world.eventually("two streams") { try await world.openStreams() == 2 }
            await agent.stop()
            #expect(try await world.answer(stream).grpcStatus == 14)
            let next = try await world.startAgent(signer.agentConfiguration)
            // A new agent has a new key: the watch of go-spiffe sees it.
            let result = await watch.result()
            #expect(result.succeeded, "\(result.errorOutput)")
            #expect(result.output.split(separator: "\n").count == 2)
            await next.stop()
        }
    }

    @Test("17: a certificate is renewed and pushed before half of its life is over")
    func rotation() async throws {
        try await withSigner(options: ["--certificate-seconds", "10"]) { world, _, _ in
            world.addServiceAccount("web")
            let pod = try await world.addPod("a", serviceAccount: "web")
            let watch = try await pod.run(
                "env", "SPIFFE_ENDPOINT_SOCKET=\(LabSigner.endpoint)", ClientPath.go, "watch", "2")
            let lines = watch.output.split(separator: "\n").compactMap { try? JSON(parsing: Array($0.utf8)) }
            try #require(lines.count == 2, "\(watch.errorOutput)")
            #expect(lines[0]["id"] == lines[1]["id"] && lines[0]["serial"] != lines[1]["serial"])
        }
    }

    @Test("19, 20: a stream ends with its pod, and the next pod of that name is another")
    func podEnds() async throws {
        try await withSigner { world, _, _ in
            world.addServiceAccount("web")
            let pod = try await world.addPod("a", serviceAccount: "web")
            let first = try await pod.spiffe("svid")
            let stream = try world.start(pod, "--messages", "0")
            try await world.eventually("one stream") { try await world.openStreams() == 1 }
            // The pod's object goes first: a process that is still in its cgroup learns of it.
            world.cluster.kubernetes.deletePod(namespace: "default", name: "a", .force)
            let end = try await world.answer(stream)
            #expect(end.grpcStatus == 7 && end.grpcMessage?.contains("no identity issued") == true, "\(end)")
            await world.node.remove(pod)
            let next = try await world.addPod("a", serviceAccount: "web")
            #expect(next.uid != pod.uid)
            #expect(try await next.spiffe("svid")["serial"] != first["serial"])
        }
    }

    @Test("21, 22: OpenSSL finds in our certificate what the profile asks for, and the chain verifies")
    func openssl() async throws {
        try await withSigner { world, _, signer in
            world.addServiceAccount("web")
            let pod = try await world.addPod("a", serviceAccount: "web")
            let chain = try #require(try await pod.spiffe("svid")["chain"]?.strings)
            let leaf = try #require(Data(base64Encoded: chain[0]))
            let folder = world.node.directory
            try leaf.write(to: URL(fileURLWithPath: folder + "/leaf.der"))
            try signer.authority.authorityPEM.write(
                toFile: folder + "/root.pem", atomically: true, encoding: .utf8)
            let text = try await Command.require(
                ["openssl", "x509", "-inform", "DER", "-in", folder + "/leaf.der", "-noout", "-text"])
            for line in [
                "X509v3 Subject Alternative Name: critical", "URI:spiffe://lab.example/ns/default/sa/web",
                "X509v3 Basic Constraints: critical", "CA:FALSE", "X509v3 Key Usage: critical", "Digital Signature",
                "TLS Web Server Authentication, TLS Web Client Authentication", "prime256v1",
            ] { #expect(text.contains(line), "\(line)\n\(text)") }
            #expect(!text.contains("Key Encipherment") && !text.contains("Certificate Sign"))
            let verified = try await Command.run([
                "sh", "-ec",
                "openssl x509 -inform DER -in \(folder)/leaf.der -out \(folder)/leaf.pem; "
                    + "openssl verify -x509_strict -purpose sslserver -CAfile \(folder)/root.pem \(folder)/leaf.pem",
            ])
            #expect(verified.succeeded, "\(verified.errorOutput)")
            #expect(chain.count == 1, "the root is not in the chain")
        }
    }

    @Test("23: tokens without audience and of a foreign ID are refused; 24: what is no token of ours is no good")
    func tokens() async throws {
        try await withSigner { world, _, _ in
            world.addServiceAccount("web")
            let pod = try await world.addPod("a", serviceAccount: "web")
            let path = ["--path", "FetchJWTSVID"]
            #expect(try await world.workload(pod, path).grpcStatus == 3)
            let foreign = WorkloadField.frame([(1, "vault"), (2, "spiffe://lab.example/ns/default/sa/other")])
            #expect(try await world.workload(pod, path + ["--body", foreign]).grpcStatus == 7)
            let own = WorkloadField.frame([(1, "vault"), (2, "spiffe://lab.example/ns/default/sa/web")])
            #expect(try await world.workload(pod, path + ["--body", own]).messages.count == 1)

            let token = try #require(try await pod.spiffe("jwt", "vault")["token"]?.string)
            #expect(try await pod.spiffe("validate", "vault", token)["id"]?.string?.hasSuffix("/sa/web") == true)
            let validate = ["--path", "ValidateJWTSVID", "--body"]
            for (audience, text) in [("elsewhere", token), ("vault", "a.b.c"), ("vault", token + "x"), ("", token)] {
                let body = WorkloadField.frame([(1, audience), (2, text)])
                #expect(try await world.workload(pod, validate + [body]).grpcStatus == 3, "\(audience)")
            }
        }
    }

    @Test("31: without the audience's right a call ends with 14 and the RBAC rule that is missing")
    func missingRight() async throws {
        try await withSigner { world, _, _ in
            world.addServiceAccount("web")
            world.cluster.kubernetes.revokeAudience(LabSigner.audience)
            let pod = try await world.addPod("a", serviceAccount: "web")
            let answer = try await world.workload(pod)
            #expect(answer.grpcStatus == 14)
            #expect(answer.grpcMessage?.contains("request-serviceaccounts-token-audience") == true, "\(answer)")
        }
    }

    @Test("40: the signer exchanges pod-bound tokens of its audience, and nothing else")
    func exchanges() async throws {
        let audiences = ["kubernetes.pod-token-audiences": Optional("vault")]
        try await withSigner(audiences) { world, _, signer in
            world.addServiceAccount("web")
            world.cluster.kubernetes.allowAudience("vault")
            let pod = try await world.addPod("a", serviceAccount: "web")
            func status(_ token: String?, body: String = #"{"audience":["x"]}"#) async throws -> Int {
                let header = token.map { ["-H", "Authorization: Bearer \($0)"] } ?? []
                let result = try await Command.run(
                    pod.commandLine(
                        ["curl", "-sk", "--max-time", "10", "-o", "/dev/null", "-w", "%{http_code}"] + header
                            + ["-d", body, "https://\(LabNode.address):\(signer.port)/v1/exchange"]))
                return Int(result.output) ?? 0
            }
            #expect(try await status(nil) == 401)
            #expect(try await status("nothing") == 401)
            let vault = try await pod.curl("/podidentd/v1/token?audience=vault").body
            #expect(try await status(vault) == 401, "a token of another audience")
            let api = try world.cluster.kubernetes.projectedToken(namespace: "default", pod: "a")
            #expect(try await status(api) == 401, "a token of the API server's audience")
            // A volume of the pod would hold this: its own identity, and no more.
            world.cluster.kubernetes.updatePod(namespace: "default", name: "a") {
                $0.volumeAudiences = [LabSigner.audience]
            }
            let own = try await world.mint(for: pod, serviceAccount: "web", audience: LabSigner.audience)
            #expect(try await status(own) == 200)
            #expect(try await status(own, body: "{") == 400)
            #expect(try await status(own, body: "{}") == 400)
            world.cluster.kubernetes.deletePod(namespace: "default", name: "a", .force)
            #expect(try await status(own) == 401, "the token of a deleted pod")
        }
    }

    @Test("18, 42: the authority rolls while pods of both sides speak, without one failed handshake")
    func authorityRolls() async throws {
        let options = ["--reload-seconds", "1"]
        try await withSigner(["spiffe.bundle-seconds": "2"], options: options) { world, _, signer in
            for name in ["server", "client"] { world.addServiceAccount(name) }
            let server = try await world.addPod("s", serviceAccount: "server")
            let id = "spiffe://lab.example/ns/default/sa/"
            let serving = try server.start(SpiffeTests.command("serve", "\(server.address):7000", id + "client"))
            try await serving.errorLines.first(within: .seconds(60)) { $0.contains("listening") }
            let old = try await world.addPod("old", serviceAccount: "client")
            func dial(_ pod: RunningPod) async throws {
                let answer = try await pod.spiffe("dial", "\(server.address):7000", id + "server")
                #expect(answer["answer"]?.string == "answer to hello\n")
            }
            func authorities(_ pod: RunningPod) async throws -> Int? {
                try await pod.spiffe("bundles")["spiffe://lab.example"]?.strings?.count
            }
            try await dial(old)
            let next = try LabPKI(name: "next trust domain root")
            // First it is published, then it signs.
            try signer.publish([next])
            try await world.eventually("two authorities") { try await authorities(old) == 2 }
            try await dial(old)
            // The server's stream has heard of it, too, within the time that was configured.
            try await world.eventually("a push") { try await world.pushes() >= 1 }
            try signer.replaceAuthority(next, further: [signer.authority])
            try await signer.log.wait(within: .seconds(60)) { lines in
                lines.count { $0.contains("keys read again") } >= 2
            }
            let new = try await world.addPod("new", serviceAccount: "client")
            try await dial(new)
            try await dial(old)
            serving.signal(SIGKILL)
            _ = await serving.result()
        }
    }
}
