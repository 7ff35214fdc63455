import AgentTesting
import Foundation
import Lab
import Testing

/// Metadata through TLS: google-auth in strict mode, and any other client, through a certificate of the agent's own pod.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct SpiffeMetadataTests {
    private static let agent = "podidentd"

    /// Runs `body` in a world whose agent serves metadata on port 443 as well, and has the certificate for it.
    private static func withSecureMetadata(
        signerOptions: [String] = ["--agent", "podidentd/podidentd"], isServed: Bool = true,
        _ body: (LabWorld, AgentProcess, LabSigner) async throws -> Void
    ) async throws {
        try await withWorld { world in
            let signer = try await LabSigner.start(in: world, options: signerOptions)
            for name in ["web", "other"] { world.addServiceAccount(name) }
            world.addServiceAccount(agent, namespace: agent)
            let own = try await world.addPod(
                "podidentd-1", namespace: agent, serviceAccount: agent, isHostNetwork: true)
            var configuration = signer.agentConfiguration
            configuration["spiffe.metadata-port"] = "443"
            configuration["pod-uid"] = own.uid
            let process = try world.launchAgent(
                configuration,
                prefix: [
                    "sh", "-c", "echo 0 > \"$0\" && exec \"$@\"",
                    world.node.cgroupDirectory(own.containerCgroup) + "/cgroup.procs",
                ])
            try await process.waitUntilReady()
            try await world.ending(process, signer) {
                if isServed {
                    try await process.log.first(within: .seconds(60)) { $0.contains("metadata over TLS is served") }
                }
                try await body(world, process, signer)
            }
        }
    }

    private static let path = "/computeMetadata/v1/instance/service-accounts/default/email"
    /// curl's status when its time is over without an answer.
    private static let silence: Int32 = 28

    private static func curl(_ pod: RunningPod, _ arguments: [String]) async throws -> CommandResult {
        try await Command.run(
            pod.commandLine(
                ["curl", "-s", "--max-time", "15", "-H", "Metadata-Flavor: Google", "-w", "\n%{http_code}"] + arguments)
        )
    }

    @Test(
        "43: google-auth in strict mode gets its token through TLS, and with another root an error and no request over HTTP"
    )
    func googleAuth() async throws {
        try await Self.withSecureMetadata { world, _, signer in
            let pod = try await world.addPod("a", serviceAccount: "web")
            let files = try await world.metadataFiles(of: pod, root: signer.authority.authorityPEM)
            let good = try await world.googleAuth(in: pod, files: files)
            #expect(good.output.contains("token ya29."), "\(good.output)\(good.errorOutput)")
            #expect(good.output.contains("https "), "\(good.output)")
            let wrong = try await world.metadataFiles(
                of: pod, root: try LabPKI(name: "somebody else's root").authorityPEM)
            let before = try await world.requests()
            let refused = try await world.googleAuth(in: pod, files: wrong)
            #expect(!refused.succeeded && !refused.output.contains("token"), "\(refused.output)")
            #expect(refused.errorOutput.contains("CERTIFICATE_VERIFY_FAILED"), "\(refused.errorOutput)")
            #expect(try await world.requests() == before, "requests that reached the agent, over HTTP or TLS")
        }
    }

    @Test("44: a client certificate of another pod is refused with 403, its own and none are served")
    func clientCertificates() async throws {
        try await Self.withSecureMetadata { world, agent, signer in
            let pod = try await world.addPod("a", serviceAccount: "web")
            let other = try await world.addPod("b", serviceAccount: "other")
            let own = try await world.metadataFiles(of: pod, root: signer.authority.authorityPEM)
            let foreign = try await world.metadataFiles(of: other, root: signer.authority.authorityPEM)
            for host in ["169.254.169.254", "metadata.google.internal", "[fd20:ce::254]"] {
                let resolve = [
                    "--resolve", "metadata.google.internal:443:169.254.169.254", "--cacert", own + "/root.crt",
                ]
                let url = "https://\(host)\(Self.path)"
                let bare = try await Self.curl(pod, resolve + [url])
                #expect(bare.output.hasSuffix("\n200"), "\(host): \(bare.status) \(bare.output)")
                let shown = try await Self.curl(pod, resolve + ["-E", own + "/client.key", url])
                #expect(shown.output == bare.output)
                let stolen = try await Self.curl(pod, resolve + ["-E", foreign + "/client.key", url])
                #expect(
                    stolen.output.hasSuffix("\n403") && stolen.output.contains("client certificate"), "\(stolen.output)"
                )
            }
            // A certificate of another authority ends the handshake.
            let stranger = try LabPKI(name: "lab trust domain").server(hosts: ["web"])
            let path = world.node.directory + "/stranger.pem"
            try (stranger.privateKeyPEM + stranger.certificatePEM).write(
                toFile: path, atomically: true, encoding: .utf8)
            let refused = try await Self.curl(
                pod, ["--cacert", own + "/root.crt", "-E", path, "https://169.254.169.254\(Self.path)"])
            #expect(![0, Self.silence].contains(refused.status), "\(refused)")
            #expect(
                try await world.operations("/metrics").body.contains("podidentd_spiffe_foreign_certificates_total 3"))
        }
    }

    @Test(
        "45: with the agent stopped a strict client errors, and nothing leaves the pod; a pod of the host's network cannot answer"
    )
    func agentDown() async throws {
        try await Self.withSecureMetadata { world, agent, signer in
            let pod = try await world.addPod("a", serviceAccount: "web")
            let host = try await world.addPod("h", serviceAccount: "other", isHostNetwork: true)
            let files = try await world.metadataFiles(of: pod, root: signer.authority.authorityPEM)
            await agent.stop()
            let impostor = try host.start(
                ["openssl", "s_server", "-accept", "\(AgentProcess.port)", "-cert", files + "/client.key", "-www"])
            let refused = try await world.googleAuth(in: pod, files: files)
            #expect(!refused.succeeded && !refused.output.contains("token"), "\(refused.output)")
            #expect(refused.errorOutput.contains("failed: "), "\(refused.errorOutput)")
            let curl = try await Self.curl(pod, ["-k", "https://169.254.169.254\(Self.path)"])
            #expect(curl.status == 7, "\(curl)")
            #expect(world.cluster.trap?.connections == 0)
            impostor.signal(SIGKILL)
            _ = await impostor.result()
        }
    }

    @Test(
        "46: google-auth 2.49, in a pod without the volume, gets its token over HTTP as ever",
        .enabled(if: ClientPath.hasForeignPrograms))
    func olderClient() async throws {
        try await Self.withSecureMetadata { world, _, _ in
            let pod = try await world.addPod("a", serviceAccount: "web")
            let older = ClientPath.root + "/.build/clients/google-auth-2.49"
            let program = ClientPath.root + "/Tests/Clients/python/google_auth_strict.py"
            let result = try await Command.run(
                pod.commandLine(
                    ["env", "PYTHONPATH=\(older)", ClientPath.python, program],
                    files: ["/etc/hosts": try world.hostsFile()]))
            #expect(
                result.output.contains("version 2.49") && result.output.contains("token ya29."), "\(result.errorOutput)"
            )
            #expect(!result.output.contains("https "))
        }
    }

    @Test(
        "the certificate is for the agents' ServiceAccount alone: without --agent the port is closed, and port 80 serves"
    )
    func noAgent() async throws {
        try await Self.withSecureMetadata(signerOptions: [], isServed: false) { world, agent, _ in
            let pod = try await world.addPod("a", serviceAccount: "web")
            try await agent.log.first(within: .seconds(60)) { $0.contains("--agent") }
            let closed = try await Self.curl(pod, ["-k", "https://169.254.169.254\(Self.path)"])
            #expect(![0, Self.silence].contains(closed.status), "\(closed)")
            #expect(try await pod.curl(Self.path).status == 200)
        }
    }
}

extension LabWorld {
    /// The two files of the volume that google-auth looks for, in a folder.
    fileprivate func metadataFiles(of pod: RunningPod, root: String) async throws -> String {
        let svid = try await svidFiles(of: pod)
        let folder = svid + "/" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let key = try String(contentsOfFile: svid + "/svid.key", encoding: .utf8)
        let chain = try String(contentsOfFile: svid + "/svid.pem", encoding: .utf8)
        try (key + chain).write(toFile: folder + "/client.key", atomically: true, encoding: .utf8)
        try root.write(toFile: folder + "/root.crt", atomically: true, encoding: .utf8)
        return folder
    }

    /// Runs google-auth in strict mode inside the pod, with the volume at the path that it knows.
    fileprivate func googleAuth(in pod: RunningPod, files: String) async throws -> CommandResult {
        let run = node.directory + "/run-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: run, withIntermediateDirectories: true)
        try FileManager.default.copyItem(atPath: files, toPath: run + "/google-mds-mtls")
        return try await Command.run(
            pod.commandLine(
                [
                    "env", "GCE_METADATA_MTLS_MODE=strict", ClientPath.python,
                    ClientPath.root + "/Tests/Clients/python/google_auth_strict.py",
                ], files: ["/etc/hosts": try hostsFile(), "/run": run]))
    }

    /// The names of the metadata server, as the cluster's name server would answer them.
    fileprivate func hostsFile() throws -> String {
        let path = node.directory + "/hosts"
        try "127.0.0.1 localhost\n169.254.169.254 metadata.google.internal\n".write(
            toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    /// How many requests of pods the agent has answered.
    fileprivate func requests() async throws -> Int {
        try await operations("/metrics").body.split(separator: "\n").reduce(0) { sum, line in
            // But for those of the agent itself, which asks for its own pod.
            guard line.hasPrefix("podidentd_requests_total"), !line.contains("pod_uid") else { return sum }
            return sum + (line.split(separator: " ").last.flatMap { Int($0) } ?? 0)
        }
    }
}
