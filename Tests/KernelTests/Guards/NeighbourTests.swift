import Attribution
import BPF
import CBPFTestPrograms
import CLibbpf
import Foundation
import Lab
import Testing

/// Neighbours on a node: other kubelets' pods, and other programs at the same hooks.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct NeighbourTests {
    private static let syn = ["raw", "whole", LabNode.address, LabNode.metadataAddress, "80"]

    @Test(
        "a process on the node's network, in another kubepods tree, reaches no protected address",
        arguments: [CgroupLayout.cgroupfs, .nested])
    func otherTree(layout: CgroupLayout) async throws {
        try await withGuards(layout: layout) { lab in
            let base = layout.depth > 0 ? "" : "/\(lab.node.identifier)"
            let tree = base + "/other.slice/other-kubepods.slice"
            let pod = tree + "/other-kubepods-pod\(UUID().uuidString.lowercased().replacing("-", with: "_")).slice"
            try FileManager.default.createDirectory(
                atPath: lab.node.cgroupDirectory(pod), withIntermediateDirectories: true)
            func got(_ arguments: [String]) async throws -> String {
                let command = lab.node.command(inCgroup: pod) + [try Attacker.program()] + arguments
                return try await Command.run(command).output
            }
            let datagram = ["udp", "unconnected", LabNode.metadataAddress, "80"]
            // To the programs it is the host: the agent has not told them.
            #expect(try await got(Self.syn) == "answered: SYN-ACK\n")

            let found = try #require(try lab.cgroups.locate([UInt8](tree.utf8)))
            try lab.refreshKubepods(others: [KubepodsCgroup.OtherTree(id: found.id, level: found.level)])
            for address in [LabNode.metadataAddress, "::ffff:169.254.169.254", LabNode.metadataAddress6] {
                #expect(try await got(["connect", "plain", address, "80"]) == "connect: \(LabKernel.refusal)\n")
            }
            #expect(
                try await got(["connect", "plain", LabNode.metadataAddress, "443"]) == "connect: \(LabKernel.refusal)\n"
            )
            #expect(try lab.count("refused_other_tree") == 4)
            #expect(try await got(Self.syn) == "send: EPERM\n")
            #expect(try lab.count("refused_other_tree") == 5)
            #expect(!(try await got(datagram)).hasPrefix("answered"))
            #expect(try lab.count("refused_other_tree") == 6)
            #expect(!lab.hasConnection(on: lab.trap))

            // The machine itself and the agent's own pods are none the worse.
            let own = try await lab.addPod("a")
            #expect(try lab.count("redirected") == 0)
            try lab.refreshKubepods(others: [KubepodsCgroup.OtherTree(id: found.id, level: found.level)])
            let client = try own.attack(["keep-alive", LabNode.metadataAddress, "80"], as: .unprivileged)
            close(try lab.accept())
            client.signal(SIGKILL)
            _ = await client.result()
            #expect(try lab.count("redirected") == 1)
            let host = try Command(lab.node.processCommand + [try Attacker.program()] + Self.syn)
            #expect(await host.result().output == "answered: SYN-ACK\n")
        }
    }

    @Test("another kubepods tree that ends while it is being guarded is no failure; the agent's own is one")
    func endedTree() async throws {
        try await withGuards { lab in
            let tree = "/\(lab.node.identifier)/other.slice/other-kubepods.slice"
            try FileManager.default.createDirectory(
                atPath: lab.node.cgroupDirectory(tree), withIntermediateDirectories: true)
            let ended = try #require(try lab.cgroups.locate([UInt8](tree.utf8)))
            unsafe try #require(rmdir(lab.node.cgroupDirectory(tree)) == 0)
            try lab.refreshKubepods(others: [KubepodsCgroup.OtherTree(id: ended.id, level: ended.level)])
            #expect(throws: BPFError.self) {
                try lab.datapath.setKubepods(KubepodsCgroup(id: ended.id, level: ended.level))
            }
        }
    }

    @Test("a program that is attached exclusively is named, not the capabilities", arguments: [true, false])
    func exclusive(isAbove: Bool) async throws {
        let node = try await LabNode(layout: .nested)
        do {
            let skeleton = unsafe try #require(unsafe nid_foreign_skeleton__open())
            defer { unsafe nid_foreign_skeleton__destroy(skeleton) }
            unsafe try #require(nid_foreign_skeleton__load(skeleton) == 0)
            let program = unsafe bpf_program__fd(skeleton.pointee.progs.foreign_connect4)
            let inside = isAbove ? node.ownCgroups + "/below" : node.ownCgroups
            if isAbove { unsafe try #require(mkdir(inside, 0o755) == 0) }
            let cgroup = unsafe open(node.ownCgroups, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            defer { close(cgroup) }
            try #require(bpf_prog_attach(program, cgroup, BPF_CGROUP_INET4_CONNECT, 0) == 0)
            defer { bpf_prog_detach2(program, cgroup, BPF_CGROUP_INET4_CONNECT) }

            let error = try #require(
                throws: BPFError.self,
                performing: {
                    _ = try Datapath(Self.configuration(node), cgroups: CgroupFileSystem(mountPoint: inside))
                })
            // The kernel keeps 15 bytes of a program's name.
            let words = [
                "attach nid_connect4", "Operation not permitted", "'foreign_connect'", "cgroup_inet4_connect",
                isAbove ? "above" : "of this cgroup", "BPF_F_ALLOW_MULTI", "bpftool cgroup detach",
            ]
            for word in words { #expect(error.description.contains(word), "\(word) in: \(error)") }
            #expect(!error.description.contains("CAP_BPF"))

            let found = try ExclusivePrograms.all(at: node.ownCgroups)
            #expect(found.map(\.hook) == ["cgroup_inet4_connect"])
            #expect(found.first?.programs.map(\.name) == ["foreign_connect"])
            #expect(found.first?.isOwn == true)
        } catch {
            await node.tearDown()
            throw error
        }
        await node.tearDown()
    }

    @Test("the agent's own hooks, and others that share theirs, keep no program out")
    func shared() async throws {
        try await withGuards(layout: .nested) { lab in
            #expect(try ExclusivePrograms.all(at: lab.node.cgroupDirectory("")) == [])
            let skeleton = unsafe try #require(unsafe nid_foreign_skeleton__open())
            defer { unsafe nid_foreign_skeleton__destroy(skeleton) }
            unsafe try #require(nid_foreign_skeleton__load(skeleton) == 0)
            let program = unsafe bpf_program__fd(skeleton.pointee.progs.foreign_connect4)
            let cgroup = unsafe open(lab.node.cgroupDirectory(""), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            defer { close(cgroup) }
            // Documents say this of programs that want a hook for themselves.
            #expect(bpf_prog_attach(program, cgroup, BPF_CGROUP_INET4_CONNECT, 0) == -EPERM)
            #expect(bpf_prog_attach(program, cgroup, BPF_CGROUP_INET4_CONNECT, UInt32(BPF_F_ALLOW_MULTI)) == 0)
            #expect(bpf_prog_detach2(program, cgroup, BPF_CGROUP_INET4_CONNECT) == 0)
        }
    }

    private static func configuration(_ node: LabNode) -> DatapathConfiguration {
        DatapathConfiguration(
            pinDirectory: PinDirectory(path: node.bpfFileSystem + "/podidentd"), endpoints: [.ipv4(0xa9fe_a9fe)],
            listenPorts: PodListeners.ports)
    }
}
