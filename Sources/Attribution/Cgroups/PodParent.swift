/// One cgroup directly below which the kubelet makes pod-level cgroups, and how it spells their names there.
///
/// There are six below each root: Guaranteed pods lie in the root itself, the others in their QoS class, and each of
/// these again in the partition `system` (KEP-5894). Nothing else between the root and the pod level is the kubelet's.
struct PodParent: Sendable, Hashable {
    /// The path, with a slash at its end.
    let directory: [UInt8]
    /// The text before the UID in a pod-level name.
    let namePrefix: [UInt8]
    /// The text after it.
    let nameSuffix: [UInt8]
    /// The byte between the groups of the UID.
    let uidSeparator: UInt8
    /// How many levels below the root its pods are: 1, 2 or 3.
    let podDepth: Int

    private static let groups: [[String]] = [
        [], ["burstable"], ["besteffort"], ["system"], ["system", "burstable"], ["system", "besteffort"],
    ]

    /// `/kubepods/burstable/pod1a2b…-…`
    static func cgroupfs(below root: [UInt8]) -> [PodParent] {
        self.groups.map { group in
            PodParent(
                directory: group.reduce(root + "/".utf8) { $0 + $1.utf8 + "/".utf8 },
                namePrefix: Array("pod".utf8),
                nameSuffix: [],
                uidSeparator: UInt8(ascii: "-"),
                podDepth: group.count + 1
            )
        }
    }

    /// `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1a2b…_….slice`: each name repeats its parent's,
    /// and a dash in a part, which would name one more parent, is written as `_`.
    static func systemd(below root: [UInt8], slice: SystemdSlice) -> [PodParent] {
        self.groups.map { group in
            var directory = root + "/".utf8
            var stem = slice.stem
            for part in group {
                stem += "-\(part)".utf8
                directory += stem + ".slice/".utf8
            }
            return PodParent(
                directory: directory,
                namePrefix: stem + "-pod".utf8,
                nameSuffix: Array(".slice".utf8),
                uidSeparator: UInt8(ascii: "_"),
                podDepth: group.count + 1
            )
        }
    }

    /// The UID in the name of a cgroup directly below; `nil` if it is not a pod-level name.
    func podUID(inName name: ArraySlice<UInt8>) -> PodUID? {
        guard name.count > self.namePrefix.count + self.nameSuffix.count, name.starts(with: self.namePrefix),
            name.ends(with: self.nameSuffix)
        else { return nil }
        let uid = name.dropFirst(self.namePrefix.count).dropLast(self.nameSuffix.count)
        return PodUID(bytes: uid, separator: self.uidSeparator)
    }
}
