package import Attribution
package import BPF
import CSockets
import NIOCore
import NIOPosix

/// Identifies the peers of Unix sockets, in the form in which the hooks identify those of TCP connections.
///
/// The kernel names the cgroup of the task that connected; no process ID takes part. What a socket's creator was, the
/// kernel does not say here: a connection is its connector's.
package struct UnixPeers: Sendable {
    let root: KubepodsRoot
    let cgroups: CgroupFileSystem

    package init(root: KubepodsRoot, cgroups: CgroupFileSystem) {
        self.root = root
        self.cgroups = cgroups
    }

    /// The peer is in no pod's cgroup, or the kernel cannot say.
    struct NoPod: Error {}

    /// Returns the tag that the hooks would have given the connecting task; `nil` if the task is not below kubepods.
    func tag(ofPeerOn channel: any Channel) throws -> CallerTag? {
        let cgroup = try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
            descriptor -> CgroupID? in
            var id: UInt64 = 0
            return unsafe nid_peer_cgroup(descriptor, &id) == 0 ? CgroupID(rawValue: id) : nil
        }
        guard case .some(.some(let cgroup)) = cgroup else { return nil }
        return tag(of: cgroup)
    }

    /// The tag of a task in the cgroup with this ID.
    func tag(of cgroup: CgroupID) -> CallerTag? {
        guard let path = cgroups.path(of: cgroup), path.starts(with: root.path) else { return nil }
        var ancestors: InlineArray<5, UInt64> = .init(repeating: 0)
        var ancestor = root.path
        let names = path.dropFirst(root.path.count).split(separator: UInt8(ascii: "/"))
        // A cgroup beside the root whose name begins with the root's.
        guard !names.isEmpty, path[root.path.count] == UInt8(ascii: "/") else { return nil }
        for (index, name) in names.prefix(CallerTag.ancestorCount).enumerated() {
            ancestor += [UInt8(ascii: "/")] + name
            guard let id = cgroups.id(of: ancestor) else { return nil }
            ancestors[index] = id.rawValue
        }
        return CallerTag(
            ancestors: ancestors, leaf: cgroup, networkNamespaceCookie: 0, socketCookie: 0,
            originalDestination: OriginalDestination(address: .ipv4(0), port: 0))
    }
}
