package import Attribution
package import BPF

/// A kubepods cgroup on this node that is not the agent's: of a second kubelet, or of this one before its cgroup driver or
/// its root cgroup was changed.
package struct OtherKubepods: Sendable, Hashable {
    package let root: KubepodsRoot
    package let tree: KubepodsCgroup.OtherTree

    /// How deep kubelets put theirs below the root of a node, in every known layout, and some more.
    static let depthMax = 8
    /// The most cgroups that a search looks at: more than a node has outside of kubepods.
    static let searchLimit = 16_384

    /// Every such tree on the node, in the order of their paths.
    ///
    /// Users name the cgroups that were delegated to them as they like: only what root owns counts, and only what root
    /// owns is searched. A tree around the agent's own, of a node that is itself a pod, is that of the machine below and
    /// does not count; nor does one inside a tree that was found.
    ///
    /// - Throws: Why the kernel did not tell a tree's level.
    package static func all(beside own: KubepodsRoot, in cgroups: CgroupFileSystem) throws(BPFError) -> [OtherKubepods]
    {
        try all(
            beside: own, children: { cgroups.children(of: $0).map(\.path) },
            isRootOwned: { cgroups.isRootOwned($0) }
        ) { path throws(BPFError) in try cgroups.locate(path) }
    }

    /// The same for a hierarchy that is known by these three alone.
    static func all(
        beside own: KubepodsRoot, children: ([UInt8]) -> [[UInt8]], isRootOwned: ([UInt8]) -> Bool,
        locate: ([UInt8]) throws(BPFError) -> (id: CgroupID, level: Int)?
    ) throws(BPFError) -> [OtherKubepods] {
        var found: [OtherKubepods] = []
        var level: [[UInt8]] = [[UInt8(ascii: "/")]]
        var seen = 0
        for _ in 0..<depthMax where !level.isEmpty {
            var next: [[UInt8]] = []
            for path in level.flatMap(children) {
                seen += 1
                guard seen <= searchLimit else { return found.sorted(by: isBefore) }
                guard path != own.path, isRootOwned(path) else { continue }
                guard !own.path.starts(with: path + [UInt8(ascii: "/")]), let root = KubepodsRoot(ifNamed: path) else {
                    next.append(path)
                    continue
                }
                guard let (id, level) = try locate(path) else { continue }
                found.append(OtherKubepods(root: root, tree: KubepodsCgroup.OtherTree(id: id, level: level)))
            }
            level = next
        }
        return found.sorted(by: isBefore)
    }

    private static func isBefore(_ a: OtherKubepods, _ b: OtherKubepods) -> Bool {
        a.root.path.lexicographicallyPrecedes(b.root.path)
    }
}

extension KubepodsRoot {
    /// The root at `path`, if the last component is a name that kubelets give to it.
    init?(ifNamed path: [UInt8]) {
        guard path.ends(with: "kubepods".utf8) || path.ends(with: "kubepods.slice".utf8),
            let root = try? KubepodsRoot(path: path)
        else { return nil }
        self = root
    }
}

extension Array<UInt8> {
    fileprivate func ends(with suffix: String.UTF8View) -> Bool {
        self.suffix(suffix.count).elementsEqual(suffix)
    }
}
