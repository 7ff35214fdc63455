import AgentTesting
import Foundation
import Lab
import Testing

/// Something that is wrong on the node of a container that was well, and the words by which `check` must name it.
struct ContainerFault: CustomTestStringConvertible, Sendable {
    var testDescription: String
    /// The item that must name it.
    var item: String
    var words: [String]
    var inject: @Sendable (AgentContainer) async throws -> Void

    private static let connection = "connections.tcp.169.254.169.254:80"

    static let all = [
        ContainerFault(
            testDescription: "level wrong", item: "connections",
            words: ["do not take this process for a pod's", "level"]
        ) { try await $0.changeSettings { $0[48] ^= 1 } },
        ContainerFault(testDescription: "port firewalled", item: connection, words: ["filter", "127.0.0.1"]) {
            try await $0.inNode(
                "nft", "table inet lab { chain input { type filter hook input priority 0; tcp dport 988 drop; }; }")
        },
        ContainerFault(
            testDescription: "hooks detached", item: "hooks.connect4", words: ["there is no pin", "connect4"]
        ) {
            try PinnedLink.detach(at: $0.world.pinDirectory + "/links/connect4")
        },
        ContainerFault(testDescription: "listener gone", item: connection, words: ["refused", "Nothing listens"]) {
            try await $0.keepListenersDown()
        },
        ContainerFault(
            testDescription: "second tree", item: "cgroups.other-kubepods", words: ["kubepods.slice", "beside"]
        ) {
            // Beside the node's own, as a kubelet whose cgroup driver was changed leaves it.
            let node = $0.world.node
            let parent = (node.cgroupDirectory(node.kubepods) as NSString).deletingLastPathComponent
            try FileManager.default.createDirectory(
                atPath: parent + "/kubepods.slice", withIntermediateDirectories: false)
        },
        ContainerFault(
            testDescription: "bridge without PRE_ROUTING", item: "paths.bridges",
            words: ["br0", "bridge-nf-call-iptables is 0"]
        ) {
            try await $0.inNode("sh", "-c", "echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables")
        },
        ContainerFault(testDescription: "watch blind", item: "agent.watch", words: ["no watch is open"]) {
            await $0.world.cluster.kubernetesServer.takeDown()
        },
        ContainerFault(testDescription: "credentials expired", item: "credentials.certificate", words: ["expired at"]) {
            try $0.world.cluster.rotateNodeCertificate(notAfter: Date(timeIntervalSinceNow: -60))
        },
        ContainerFault(testDescription: "upstream down", item: "agent.upstreams", words: ["sts", "refused"]) {
            await $0.world.cluster.securityTokenServiceServer.takeDown()
            // One whose token is not cached yet.
            $0.world.addServiceAccount("late")
            let late = try await $0.world.addPod("late", serviceAccount: "late")
            #expect(try await late.ask().status == 503)
        },
        ContainerFault(testDescription: "clock off", item: "credentials.clock", words: ["s behind", "API server"]) {
            $0.world.cluster.kubernetes.clock.advance(by: .seconds(300))
        },
    ]
}

extension AgentContainer {
    func inNode(_ command: String...) async throws {
        try await Command.require(["nsenter", "--net=\(world.node.network.path)", "--"] + command)
    }

    /// Changes bytes of what the kernel programs know of the node (`struct nid_settings`).
    fileprivate func changeSettings(_ change: (inout [UInt8]) -> Void) async throws {
        struct Entry: Decodable { var value: [String] }
        let maps = try #require(
            FileManager.default.contentsOfDirectory(atPath: world.pinDirectory).first { $0.hasPrefix("maps") })
        let map = ["pinned", "\(world.pinDirectory)/\(maps)/nid_settings", "key", "0", "0", "0", "0"]
        let text = try await Command.require(["bpftool", "-j", "map", "lookup"] + map)
        let entry = try JSONDecoder().decode(Entry.self, from: Data(text.utf8))
        var bytes = entry.value.compactMap { UInt8($0.dropFirst(2), radix: 16) }
        change(&bytes)
        try await Command.require(["bpftool", "map", "update"] + map + ["value"] + bytes.map(String.init))
    }

    /// Ends the agent's listening sockets behind its back, as `ss --kill` on such a socket does, and those that it opens in
    /// their place: it does so at once. Goes on until the node's network namespace ends.
    fileprivate func keepListenersDown() async throws {
        let script = """
            import ctypes, glob, os, socket, sys, time

            def end():
                sockets = set()
                for table in ("tcp", "tcp6"):
                    for line in open(f"/proc/self/net/{table}").readlines()[1:]:
                        fields = line.split()
                        if fields[3] == "0A" and fields[1].endswith(":03DC"):
                            sockets.add(f"socket:[{fields[9]}]")
                ended = set()
                for path in glob.glob("/proc/[0-9]*/fd/*") if sockets else []:
                    try:
                        link = os.readlink(path)
                        if link not in sockets - ended:
                            continue
                        process, descriptor = int(path.split("/")[2]), int(path.split("/")[4])
                        copy = ctypes.CDLL(None).syscall(438, os.pidfd_open(process), descriptor, 0)
                        socket.socket(fileno=copy).shutdown(socket.SHUT_RDWR)
                    except OSError:
                        continue
                    ended.add(link)
                return ended and ended == sockets

            while not end():
                pass
            print("ended", file=sys.stderr, flush=True)
            while True:
                time.sleep(0.005)
                end()
            """
        let command = try Command(["nsenter", "--net=\(world.node.network.path)", "--", "python3", "-c", script])
        try await command.errorLines.first { $0 == "ended" }
    }
}
