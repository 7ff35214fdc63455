/// The kernel's identifier of a cgroup v2 (`kernfs_node.id`, the value of `bpf_get_current_cgroup_id`).
///
/// Equal to the inode number of the cgroup's directory. Not reused within one boot: the kernel builds it as
/// `generation << 32 | cyclic number`.
package struct CgroupID: RawRepresentable, Hashable, Sendable, Comparable, CustomStringConvertible {
    package let rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    package var description: String { String(rawValue) }

    package static func < (left: CgroupID, right: CgroupID) -> Bool {
        left.rawValue < right.rawValue
    }
}
