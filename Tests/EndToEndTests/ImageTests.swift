import Foundation
import Lab
import Testing

/// The agent with nothing around it but what the container image holds.
///
/// `PODIDENTD_IMAGE_ROOT` names the unpacked image. Without it the same script that lays out the image does so for the
/// program under test, which is linked with more libraries, but found and started in the same way.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct ImageTests {
    @Test("the image's content is all that the agent needs to serve a pod, run as the hardened manifest says")
    func serves() async throws {
        try await withWorld { world in
            let root = try await Self.root(in: world)
            #expect(!FileManager.default.fileExists(atPath: root + "/bin/sh"))
            world.cluster.kubernetes.createServiceAccount(namespace: "default", name: "default")
            let pod = try await world.addPod("a")
            let agent = try world.launchAgent(
                ["cgroup.mount-point": "/host/sys/fs/cgroup"],
                prefix: [
                    ".build/deploy/venv/bin/python", "deploy/tests/as-container", "--manifest",
                    "deploy/golden/kubeadm-hardened.yaml", "--seccomp", "deploy/components/hardened/seccomp.json",
                    "--rootfs", root, "--program", "/podidentd", "--bind", world.node.directory, "--",
                ])
            try await agent.waitUntilReady(within: .seconds(20))
            #expect(try await pod.token().accessToken.hasPrefix("ya29."))
            #expect(world.cluster.trap?.connections == 0)
            let stopped = await agent.stop()
            #expect(stopped.status == 0, "\(stopped.errorOutput)")
        }
    }

    private static func root(in world: LabWorld) async throws -> String {
        if let root = ProcessInfo.processInfo.environment["PODIDENTD_IMAGE_ROOT"] { return root }
        let root = world.node.directory + "/image"
        try await Command.require(["bash", "deploy/image/rootfs", world.binaries + "/podidentd", root])
        return root
    }
}
