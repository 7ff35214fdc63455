import Attribution
import BPF
import Foundation
import Lab
import Testing

/// The levels of cgroups that the kernel gives, on nodes with and without a cgroup namespace of their own.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct LevelTests {
    @Test("the level of kubepods is the kernel's, wherever the node's own root is", arguments: CgroupLayout.allCases)
    func level(layout: CgroupLayout) async throws {
        try await withNode(layout) { node, inside in
            let outside = try CgroupFileSystem(mountPoint: node.cgroupMountPoint)
            let kubepods = try #require(try inside.locate([UInt8](node.kubepods.utf8)))
            #expect(kubepods.id == inside.id(of: [UInt8](node.kubepods.utf8)))
            // The kernel numbers the root of the hierarchy 1. From there on every component is a level.
            try #require(outside.id(of: [UInt8]("/".utf8)) == CgroupID(rawValue: 1))
            let path = try #require(outside.path(of: kubepods.id))
            #expect(kubepods.level == path.count { $0 == UInt8(ascii: "/") })
            let own = try #require(try inside.locate([UInt8]("/".utf8)))
            #expect(own.level == layout.depth)
        }
    }

    @Test("what is not there has no level, and the root of the hierarchy is level 0")
    func ends() async throws {
        try await withNode(.cgroupfs) { node, cgroups in
            let nowhere = try cgroups.locate([UInt8]("/nowhere/kubepods".utf8))
            #expect(nowhere == nil)
            let root = try cgroups.locate([UInt8]("/".utf8))
            #expect(root?.level == 0)
        }
    }

    @Test(
        "a path by ID is the node's own, and what lies outside of its namespace has none",
        arguments: CgroupLayout.allCases)
    func paths(layout: CgroupLayout) async throws {
        try await withNode(layout) { node, inside in
            let pod = try await node.addPod(RunningPodSpecification(name: "a", quality: .burstable))
            for path in [pod.cgroup, pod.containerCgroup, node.kubepods, "/"] {
                let id = try #require(inside.id(of: [UInt8](path.utf8)), "\(path)")
                #expect(inside.path(of: id) == [UInt8](path.utf8))
            }
            let outside = try CgroupFileSystem(mountPoint: node.cgroupMountPoint)
            let beside = node.ownCgroups + "-beside"
            unsafe try #require(mkdir(beside, 0o755) == 0)
            defer { unsafe rmdir(beside) }
            let id = try #require(outside.id(of: [UInt8](beside.dropFirst(node.cgroupMountPoint.count).utf8)))
            #expect((inside.path(of: id) == nil) == (layout.depth > 0))
        }
    }

    private func withNode(
        _ layout: CgroupLayout, _ body: (LabNode, CgroupFileSystem) async throws -> Void
    ) async throws {
        let node = try await LabNode(layout: layout)
        do {
            try await body(node, try CgroupFileSystem(mountPoint: node.cgroupMountPointInside))
        } catch {
            await node.tearDown()
            throw error
        }
        await node.tearDown()
    }

    @Test("a kernel program reads the cookie of the caller's network namespace that newer kernels tell")
    func cookie() throws {
        let cookie = try NetworkNamespaceID.cookieByProgram()
        // Before Linux 5.12 the namespace may have none yet.
        guard cookie != 0 else {
            #expect(throws: BPFError.self) { try NetworkNamespaceID.current() }
            return
        }
        #expect(try NetworkNamespaceID.current().cookie == cookie)
    }
}
