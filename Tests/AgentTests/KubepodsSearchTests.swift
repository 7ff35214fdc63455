import Attribution
import BPF
import Foundation
import Settings
import Testing

@testable import Enforcement

/// The kubepods cgroup by the agent's own pod.
@Suite struct OwnPodTests {
    private static let uid = "11111111-2222-3333-4444-555555555555"
    private static let place = "/kubelet/kubepods/burstable/pod\(uid)"

    private static func root(of pod: String? = nil, in cgroup: String?, configured: String? = nil) throws -> String {
        let own = OwnPod(uid: try #require(PodUID(pod ?? Self.uid)), cgroup: cgroup.map { Array($0.utf8) })
        return try own.root(confirming: try configured.map { try KubepodsRoot($0) }).description
    }

    private static func objection(of pod: String? = nil, in cgroup: String?, configured: String? = nil) -> String? {
        let error = #expect(throws: ConfigurationError.self) { try root(of: pod, in: cgroup, configured: configured) }
        return error?.description
    }

    @Test func `the own pod's place tells the root, and confirms one that is configured`() throws {
        #expect(try Self.root(in: Self.place) == "/kubelet/kubepods")
        #expect(try Self.root(in: Self.place, configured: "/kubelet/kubepods") == "/kubelet/kubepods")
    }

    @Test func `where the two do not agree nothing is taken for the root, and each is named`() throws {
        let other = try #require(Self.objection(in: Self.place, configured: "/kubepods"))
        #expect(other.hasPrefix("cgroup.kubepods is /kubepods, but the agent's own pod \(Self.uid) (pod-uid) runs in"))
        #expect(other.hasSuffix("cgroup \(Self.place), which is below /kubelet/kubepods"))
        let elsewhere = try #require(Self.objection(in: "/system.slice/agent", configured: "/kubepods"))
        #expect(elsewhere.hasSuffix("runs in cgroup /system.slice/agent"))
        let stranger = "99999999-2222-3333-4444-555555555555"
        #expect(
            Self.objection(of: stranger, in: Self.place)?
                .hasPrefix("pod-uid is \(stranger), but the agent runs in cgroup \(Self.place)") == true)
        #expect(
            Self.objection(of: stranger, in: Self.place, configured: "/kubelet/kubepods")?
                .contains("the agent's own pod \(stranger)") == true)
        #expect(Self.objection(in: nil)?.contains("is nowhere in cgroup.mount-point") == true)
    }

    @Test func `without the own pod's place the root is the one default that exists`() throws {
        let found = KubepodsRoot.defaults
        #expect(try KubepodsSearch.theDefault(among: [found[2]], below: "/cgroups") == found[2])
        let none = #expect(throws: ConfigurationError.self) {
            try KubepodsSearch.theDefault(among: [], below: "/cgroups")
        }
        #expect(
            none?.description == "no kubepods cgroup below /cgroups (looked for "
                + found.map(\.description).joined(separator: ", ") + "); set cgroup.kubepods")
        let two = #expect(throws: ConfigurationError.self) {
            try KubepodsSearch.theDefault(among: Array(found.prefix(2)), below: "/cgroups")
        }
        #expect(
            two?.description.hasPrefix("more than one kubepods cgroup below /cgroups: /kubepods, /kubepods.slice; set")
                == true)
    }

    @Test func `an ordinary directory is taken for no hierarchy of cgroups`() {
        let path = FileManager.default.temporaryDirectory.path
        let error = #expect(throws: BPFError.self) { try CgroupFiles.open(mountPoint: path) }
        #expect(error?.description.contains("set cgroup.mount-point") == true)
    }
}

/// Kubepods cgroups beside the agent's own, in hierarchies that are lists of paths.
@Suite struct OtherKubepodsTests {
    private struct Hierarchy {
        var paths: [String]
        var foreign: Set<String> = []
        var gone: Set<String> = []

        func children(of parent: [UInt8]) -> [[UInt8]] {
            let parent = String(decoding: parent, as: UTF8.self)
            let prefix = parent == "/" ? "/" : parent + "/"
            return paths.filter { $0.hasPrefix(prefix) && !$0.dropFirst(prefix.count).contains("/") }
                .map { Array($0.utf8) }
        }

        func roots(beside own: String) throws -> [String] {
            try OtherKubepods.all(
                beside: try KubepodsRoot(own), children: children(of:),
                isRootOwned: { !foreign.contains(String(decoding: $0, as: UTF8.self)) }
            ) { path in
                let text = String(decoding: path, as: UTF8.self)
                guard !gone.contains(text), let index = paths.firstIndex(of: text) else { return nil }
                return (id: CgroupID(rawValue: UInt64(index)), level: 1)
            }.map(\.root.description)
        }
    }

    @Test func `every tree that root owns is found, in the order of the paths; nothing below one is searched`() throws {
        let hierarchy = Hierarchy(
            paths: [
                "/kubepods", "/kubepods/pod1", "/kubepods/pod1/kubepods", "/kubepods.slice", "/kubepods.slice/kubepods",
                "/k3s", "/k3s/kubepods", "/system.slice", "/system.slice/mykubepods", "/system.slice/kubepods-x",
                "/user.slice", "/user.slice/kubepods", "/a", "/a/kubepods",
            ], foreign: ["/user.slice", "/a/kubepods"])
        #expect(try hierarchy.roots(beside: "/kubepods") == ["/k3s/kubepods", "/kubepods.slice"])
        #expect(try hierarchy.roots(beside: "/k3s/kubepods") == ["/kubepods", "/kubepods.slice"])
    }

    @Test func `a tree around the agent's own is that of the machine below`() throws {
        let hierarchy = Hierarchy(paths: ["/kubepods", "/kubepods/pod1", "/kubepods/pod1/kubepods"])
        #expect(try hierarchy.roots(beside: "/kubepods/pod1/kubepods") == [])
        #expect(try hierarchy.roots(beside: "/k3s/kubepods") == ["/kubepods"])
    }

    @Test func `a tree that goes meanwhile is none; what the kernel does not tell ends the search`() throws {
        let hierarchy = Hierarchy(paths: ["/kubepods.slice", "/k3s", "/k3s/kubepods"], gone: ["/k3s/kubepods"])
        #expect(try hierarchy.roots(beside: "/kubepods") == ["/kubepods.slice"])
        let own = try KubepodsRoot("/kubepods")
        #expect(throws: BPFError("read a level")) {
            try OtherKubepods.all(beside: own, children: hierarchy.children(of:), isRootOwned: { _ in true }) {
                (_: [UInt8]) throws(BPFError) -> (id: CgroupID, level: Int)? in
                throw BPFError("read a level")
            }
        }
    }

    @Test func `a search ends eight levels down, and after so many cgroups`() throws {
        let path = { (depth: Int) in (1..<depth).map { "/\($0)" }.joined() }
        for depth in [OtherKubepods.depthMax, OtherKubepods.depthMax + 1] {
            let parents = (2...depth).map { path($0) }
            let tree = path(depth) + "/kubepods"
            let isFound = try Hierarchy(paths: parents + [tree]).roots(beside: "/kubepods.slice") == [tree]
            #expect(isFound == (depth == OtherKubepods.depthMax))
        }
        for count in [OtherKubepods.searchLimit - 1, OtherKubepods.searchLimit] {
            let others = (0..<count).map { Array("/service-\($0)".utf8) }
            let found = try OtherKubepods.all(
                beside: try KubepodsRoot("/kubepods"),
                children: { $0 == Array("/".utf8) ? others + [Array("/kubepods.slice".utf8)] : [] },
                isRootOwned: { _ in true }
            ) { _ in (id: CgroupID(rawValue: 1), level: 1) }
            #expect(found.count == (count < OtherKubepods.searchLimit ? 1 : 0))
        }
    }
}
