import Foundation

/// A4, A5, A6, A11: cgroups whose names claim another pod.
extension AttackSuite {
    var cgroups: [Attack] {
        let outside = "/\(world.node.identifier)/user/pod\(target.uid)"
        let below = mallory.containerCgroup + "/kubepods/besteffort/pod\(target.uid)/\(target.containerID)"
        return [
            Attack("A4", .remote, "cgroup pod<victim> outside of kubepods, to the agent", .nothing) {
                try await inCgroup(outside, Self.agentPort)
            },
            Attack("A4", .remote, "cgroup kubepods/pod<victim> of a user's session", .nothing) {
                try await inCgroup(
                    "/\(world.node.identifier)/user/session/kubepods/pod\(target.uid)/\(target.containerID)",
                    Self.agentPort
                )
            },
            Attack("A5", .ordinary, "cgroups like the victim's below its own container", .ownIdentity) {
                try makeCgroup(below)
                return try await stage.got(
                    ["connect", "plain"] + Self.metadata, .ordinary, cgroup: below)
            },
            Attack("A5", .namespaced, "the same, in a cgroup namespace that begins there", .ownIdentity) {
                try makeCgroup(below)
                let command = ["unshare", "--cgroup", "--", try Attacker.program(), "connect", "plain"] + Self.metadata
                return try AttackStage.output(
                    of: await mallory.start(
                        Attacker.ordinary.confine(["unshare", "-Ur", "--"] + command), cgroup: below
                    )
                    .result()
                )
            },
            staticPod,
            Attack("A11", .ordinary, "cgroups named in invalid UTF-8, 255 bytes long", .ownIdentity) {
                let base = world.node.cgroupDirectory(mallory.containerCgroup)
                let script = #"""
                    long=$(printf 'x%.0s' $(seq 255)) && name=$(printf 'pod\377\376\303(') &&
                    mkdir -p "$1/$name/$long" && echo 0 > "$1/$name/$long/cgroup.procs" && shift && exec "$@"
                    """#
                let command = ["sh", "-c", script, "sh", base, try Attacker.program(), "connect", "plain"]
                return try AttackStage.output(
                    of: await mallory.start(Attacker.ordinary.confine(command + Self.metadata)).result()
                )
            },
            Attack("A11", .remote, "a pod's cgroup but for a canonically equivalent letter", .noToken) {
                // Only root of the node can make it, beside the real ones: a parser that normalises would be fooled.
                let twin = (target.cgroup as NSString).deletingLastPathComponent + "/pod\(fullWidth(target.uid))/c"
                return try await inCgroup(twin, Self.metadata)
            },
        ]
    }

    /// The last digit as a full-width one, which compatibility normalisation takes for the same.
    private func fullWidth(_ uid: String) -> String {
        let last = uid.unicodeScalars.last?.value ?? 0x30
        return String(uid.dropLast()) + String(UnicodeScalar(last + 0xfee0).map(Character.init) ?? "0")
    }

    /// A6: a static pod's cgroup is named by the hash of its configuration, and what lies in it as its owner likes.
    private var staticPod: Attack {
        Attack("A6", .ordinary, "static pod, with a cgroup like the victim's in it", .noToken) {
            let hash = target.uid.filter { $0 != "-" }.reversed().map(String.init).joined()
            world.cluster.kubernetes.createPod(
                namespace: "mallory", name: "static-node-a", node: LabWorld.nodeName, staticConfigHash: hash
            )
            let pod = "\(world.node.kubepods)/besteffort/pod\(hash)"
            let output = try await inCgroup(
                pod + "/" + String(repeating: "d", count: 64) + "/pod\(target.uid)/\(target.containerID)", Self.metadata
            )
            guard output.hasPrefix("answered 403") else { throw AttackNotMounted(output) }
            return output
        }
    }

    private func makeCgroup(_ path: String) throws {
        try FileManager.default.createDirectory(
            atPath: world.node.cgroupDirectory(path), withIntermediateDirectories: true
        )
    }

    /// Connects from a cgroup, in the attacking pod's network.
    private func inCgroup(_ cgroup: String, _ address: [String]) async throws -> String {
        try makeCgroup(cgroup)
        let command = [
            "sh", "-c", #"echo 0 > "$0" && exec "$@""#, world.node.cgroupDirectory(cgroup) + "/cgroup.procs",
            "nsenter", "--net=\(mallory.network.path)", "--", try Attacker.program(), "connect", "plain",
        ]
        return try AttackStage.output(of: await Command.run(command + address))
    }
}
