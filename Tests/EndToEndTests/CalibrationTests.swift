import AgentTesting
import Foundation
import Lab
import Operations
import Testing

/// The agent in a pod of its own, whose UID it is told: that pod's cgroup tells where the kubepods cgroup is.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct CalibrationTests {
    struct Place: CustomTestStringConvertible, Sendable {
        var layout: CgroupLayout
        var isConfigured: Bool
        /// Whether the agent sees its cgroup as `/`, as in a container with a cgroup namespace of its own.
        var isNamespaced: Bool

        var testDescription: String {
            "\(layout), root \(isConfigured ? "configured" : "not configured"), \(isNamespaced ? "own" : "host") namespace"
        }

        static let all = CgroupLayout.allCases.flatMap { layout in
            [(false, false), (false, true), (true, false), (true, true)].map { isConfigured, isNamespaced in
                Place(layout: layout, isConfigured: isConfigured, isNamespaced: isNamespaced)
            }
        }
    }

    @Test("the agent's own pod finds and confirms the kubepods cgroup", arguments: Place.all)
    func found(place: Place) async throws {
        try await withWorld(layout: place.layout) { world in
            world.addServiceAccount("app")
            // In the API as well: the agent asks itself who it is, and an unknown pod's answer would wait for two seconds.
            let own = try await world.addPod("agent", serviceAccount: "app", isHostNetwork: true)
            var changes: [String: String?] = ["pod-uid": own.uid]
            if !place.isConfigured { changes["cgroup.kubepods"] = String?.none }
            let agent = try world.launchAgent(
                changes,
                prefix: Self.enter(world, own.containerCgroup) + (place.isNamespaced ? ["unshare", "--cgroup"] : []))
            try await agent.waitUntilReady()
            #expect(try await agent.cgroups().kubepods == world.node.kubepods)
            let pod = try await world.addPod("a", serviceAccount: "app", isHostNetwork: true)
            #expect(try world.owner(of: try await pod.ask()).subject.podUID == pod.uid)
            await agent.stop()
        }
    }

    @Test("a node inside another cluster's pod finds its own kubepods cgroup, not the one around it")
    func nested() async throws {
        try await withWorld { world in
            let outer = try await world.node.addPod(RunningPodSpecification(name: "node", isHostNetwork: true))
            let uid = UUID().uuidString.lowercased()
            let root = outer.containerCgroup + "/kubelet/kubepods"
            let own = root + "/burstable/pod\(uid)/" + String(repeating: "a", count: 64)
            try FileManager.default.createDirectory(
                atPath: world.node.cgroupDirectory(own), withIntermediateDirectories: true)
            let prefix = Self.enter(world, own) + ["unshare", "--cgroup"]
            let agent = try world.launchAgent(
                ["pod-uid": uid, "cgroup.kubepods": String?.none], prefix: prefix)
            try await agent.waitUntilReady()
            #expect(try await agent.cgroups().kubepods == root)
            await agent.stop()

            // Configured for the cluster around it: two answers, and both are named.
            let mistaken = try await Self.failure(of: try world.launchAgent(["pod-uid": uid], prefix: prefix))
            for words in ["cgroup.kubepods is \(world.node.kubepods),", own, "below \(root)", uid] {
                #expect(mistaken.contains(words), "\(mistaken)")
            }
        }
    }

    @Test(
        "a UID that is not the own pod's, and an agent in no pod, are named with the cgroup", arguments: [true, false])
    func disagreement(isInPod: Bool) async throws {
        try await withWorld { world in
            let own = try await world.node.addPod(RunningPodSpecification(name: "agent", isHostNetwork: true))
            let uid = isInPod ? UUID().uuidString.lowercased() : own.uid
            let place = isInPod ? own.containerCgroup : "/\(world.node.identifier)"
            for kubepods in [world.node.kubepods, nil] {
                let agent = try world.launchAgent(
                    ["pod-uid": uid, "cgroup.kubepods": kubepods], prefix: Self.enter(world, place))
                let error = try await Self.failure(of: agent)
                for words in [uid, place, "pod-uid", "cgroup.kubepods"] { #expect(error.contains(words), "\(error)") }
                #expect(!FileManager.default.fileExists(atPath: world.pinDirectory))
            }
        }
    }

    /// A command that moves itself into a cgroup, and then runs the rest of its line.
    private static func enter(_ world: LabWorld, _ cgroup: String) -> [String] {
        ["sh", "-c", "echo 0 > \"$0\" && exec \"$@\"", world.node.cgroupMountPoint + cgroup + "/cgroup.procs"]
    }

    /// The one sentence with which an agent ended.
    private static func failure(of agent: AgentProcess) async throws -> String {
        let result = await agent.result()
        let errors = result.errorOutput.split(separator: "\n").filter { $0.hasPrefix("Error:") }
        try #require(errors.count == 1 && result.status != 0, "\(result.errorOutput)")
        return String(errors[0])
    }
}
