import AgentTesting
import Foundation
import Lab
import Testing

/// Credentials of the node that are renewed under load: no request fails, and the old credential is used no more.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct RotationTests {
    @Test("a client certificate that rotates under load fails no request, and the old one is used no more")
    func certificate() async throws {
        try await rotate { world in
            try world.cluster.rotateNodeCertificate(notAfter: Date(timeIntervalSinceNow: 86_400))
            return (world.cluster.kubeconfigPath, nil)
        }
    }

    @Test("a token file that is rewritten under load fails no request, and the old token is used no more")
    func tokenFile() async throws {
        try await rotate { world in
            let token = world.cluster.kubernetes.addNodeToken(for: LabWorld.nodeName)
            let path = try world.cluster.kubelet.writeTokenKubeconfig(token: token, server: world.cluster.kubernetesURL)
            return (path, token)
        }
    }

    @Test("a plugin's credential that ends under load is replaced in time, and used no more")
    func plugin() async throws {
        try await rotate { world in
            let folder = world.node.directory
            let token = world.cluster.kubernetes.addNodeToken(for: LabWorld.nodeName)
            try token.write(toFile: folder + "/plugin-token", atomically: true, encoding: .utf8)
            // Lives 4 s: it is replaced before that.
            let script = """
                #!/bin/sh
                end=$(date -u -d '+4 seconds' +%Y-%m-%dT%H:%M:%SZ)
                echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
                echo "\\"status\\":{\\"token\\":\\"$(cat \(folder)/plugin-token)\\",\\"expirationTimestamp\\":\\"$end\\"}}"
                """
            let configuration = """
                current-context: x
                clusters:
                - {name: c, cluster: {server: "\(world.cluster.kubernetesURL)", \
                certificate-authority: \(world.cluster.authorityPath)}}
                users:
                - {name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin, \
                interactiveMode: Never}}}
                contexts: [{name: x, context: {cluster: c, user: u}}]
                """
            let path = folder + "/plugin.conf"
            if !FileManager.default.fileExists(atPath: path) {
                try script.write(toFile: folder + "/plugin", atomically: true, encoding: .utf8)
                try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: folder + "/plugin")
                try configuration.write(toFile: path, atomically: true, encoding: .utf8)
            }
            return (path, token)
        }
    }

    /// Renews the node's credential three times under load.
    ///
    /// `renew` puts a new credential in place, and returns the kubeconfig, and the token if the credential is one.
    private func rotate(_ renew: (LabWorld) throws -> (kubeconfig: String, token: String?)) async throws {
        try await withWorld { world in
            world.addServiceAccount("app")
            var (kubeconfig, token) = try renew(world)
            let agent = try await world.startAgent(["kubernetes.kubeconfig": kubeconfig])
            let load = MintingLoad(world)
            async let running: Void = load.run()
            do {
                let requests = world.cluster.kubernetesServer.requests
                try await load.rounds(1)
                var known = Set(requests.events.compactMap(\.request.credential))
                try #require(known.count == 1)
                for _ in 1...3 {
                    let retired = token
                    (_, token) = try renew(world)
                    let used = known
                    let first = try await requests.first(within: .seconds(60)) {
                        $0.request.credential.map { !used.contains($0) } ?? false
                    }
                    let current = try #require(first.request.credential)
                    if let token { #expect(current == token) }
                    // By then whatever was begun with the old one has been answered.
                    try await load.rounds(2)
                    if let retired { world.cluster.kubernetes.removeNodeToken(retired) }
                    requests.clear()
                    try await load.rounds(3)
                    let after = requests.events
                    #expect(after.count { $0.path.hasSuffix("/token") } >= 3 * MintingLoad.workers)
                    #expect(Set(after.map(\.request.credential)) == [current])
                    #expect(after.allSatisfy { $0.user == "system:node:\(LabWorld.nodeName)" })
                    #expect(after.allSatisfy { $0.status.map { $0 < 300 } ?? true })
                    known.insert(current)
                }
            } catch {
                load.stop()
                try? await running
                throw error
            }
            load.stop()
            try await running
            let answers = load.answers.events
            #expect(answers.allSatisfy { $0.status == 200 }, "\(answers.first { $0.status != 200 }?.body ?? "")")
            // Each pod was minted for: no answer came from a cache.
            #expect(Set(answers.compactMap(\.token?.accessToken)).count == answers.count)
            print("ROTATION \(answers.count) pods minted for during 3 rotations, none failed")
            await agent.stop()
        }
    }
}

extension LabRequest {
    /// The credential that the node showed, for comparison: its token, or its certificate.
    fileprivate var credential: String? { bearerToken ?? clientCertificate.map { Data($0).base64EncodedString() } }
}
