import AgentTesting
import Foundation
import Lab
import Testing

/// The agent with nothing around it but what the container image holds.
///
/// `PODIDENTD_IMAGE_ROOT` names the unpacked image. Without it the same script lays out the program under test. That one
/// is linked with more libraries, but found and started in the same way.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct ImageTests {
    @Test("the image's content is all that the agent needs to serve a pod, run as the hardened manifest says")
    func serves() async throws {
        try await withWorld { world in
            let root = try await Self.root()
            #expect(!FileManager.default.fileExists(atPath: root + "/bin/sh"))
            world.cluster.kubernetes.createServiceAccount(namespace: "default", name: "default")
            let pod = try await world.addPod("a")
            let agent = try world.launchAgent(
                ["cgroup.mount-point": "/host/sys/fs/cgroup"],
                prefix: [
                    ".build/deploy/venv/bin/python", "deploy/tests/as-container", "--manifest",
                    "deploy/golden/kubeadm-hardened.yaml", "--seccomp", "deploy/components/hardened/seccomp.json",
                    "--rootfs", root, "--program", "/podidentd-init", "/podidentd", "--bind", world.node.directory,
                    "--",
                ])
            try await agent.waitUntilReady(within: .seconds(60))
            #expect(try await pod.token().accessToken.hasPrefix("ya29."))
            #expect(world.cluster.trap?.connections == 0)
            let stopped = await agent.stop()
            #expect(stopped.status == 0, "\(stopped.errorOutput)")
        }
    }

    /// By a short name a runtime finds no image that was imported: it adds a registry to what a pod names.
    @Test("containerd imports the archive under the name in the manifests, and a pod with that name runs the agent")
    func importedByContainerd() async throws {
        let directory = FileManager.default.temporaryDirectory.path + "/podidentd-image-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let archive = directory + "/archive.tar"
        let name = try await Command.require(["bash", "deploy/image/name"]).trimmingCharacters(in: .newlines)
        let manifest = try String(contentsOfFile: "deploy/golden/kubeadm.yaml", encoding: .utf8)
        #expect(manifest.contains("image: \(name)\n"))
        let content = try await ImageContent.directory.value
        try await Command.require([
            "bash", "deploy/image/pack", content, archive, name, "--entrypoint", #"["/podidentd"]"#,
        ])
        let words = try await Command.require([
            ".build/deploy/venv/bin/python", "deploy/tests/in-containerd", archive, name, "--", "version",
        ])
        #expect(words.hasPrefix("podidentd "), "\(words)")
    }

    private static func root() async throws -> String {
        if let root = ProcessInfo.processInfo.environment["PODIDENTD_IMAGE_ROOT"] { return root }
        return try await ImageContent.directory.value
    }
}
