package import Attribution
package import BPF
package import Logging
import NIOCore
import NIOPosix

/// Identifies the peers of Unix sockets, in the form in which the hooks identify those of TCP connections.
///
/// The kernel names two cgroups: that of the task that connected, and that of the task that made the connecting socket.
/// Both must be of one pod, as with TCP.
package struct UnixPeers: Sendable {
    let root: KubepodsRoot
    let cgroups: CgroupFileSystem
    let kernel: UnixPeerCgroups

    /// Loads the kernel's program; this must happen before the agent gives up the right to load any.
    ///
    /// - Returns: The peers; `nil` if this kernel does not tell, which the log says.
    package static func load(root: KubepodsRoot, cgroups: CgroupFileSystem, logger: Logger) -> UnixPeers? {
        do throws(BPFError) {
            let kernel = try UnixPeerCgroups()
            try kernel.verify(by: cgroups)
            return UnixPeers(root: root, cgroups: cgroups, kernel: kernel)
        } catch {
            logger.error(
                "no SPIFFE Workload API over the Unix socket: the kernel does not tell whose a connection is",
                metadata: ["reason": "\(error)"])
            return nil
        }
    }

    /// Why a connection is closed unread.
    enum Refusal: Error {
        /// The peer is in no pod's cgroup.
        case noPod
        /// The peer connected a socket that was made outside of its pod.
        case foreignSocket(PodUID)
        /// The kernel did not run the program: no peer is known.
        case kernel(BPFError)
    }

    /// Returns the tag that the hooks would have given the connecting task.
    ///
    /// - Throws: ``Refusal``.
    func tag(ofPeerOn channel: any Channel) throws -> CallerTag {
        let ends = try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
            do throws(BPFError) {
                return try kernel.ends(of: $0)
            } catch {
                throw Refusal.kernel(error)
            }
        }
        guard let ends else { throw Refusal.noPod }
        return try tag(of: ends)
    }

    /// The tag of a connection between these cgroups.
    func tag(of ends: UnixPeerCgroups.Ends) throws(Refusal) -> CallerTag {
        guard let connector = task(in: ends.connector) else { throw .noPod }
        guard ends.creator != ends.connector else { return connector.tag }
        guard let creator = task(in: ends.creator), creator.podCgroup == connector.podCgroup else {
            throw .foreignSocket(connector.uid)
        }
        return connector.tag
    }

    /// A task in a pod's cgroup or below.
    private struct PodTask {
        var tag: CallerTag
        var uid: PodUID
        var podCgroup: UInt64
    }

    /// Describes a task in the cgroup with this ID; `nil` if that is no pod's, or gone.
    private func task(in cgroup: CgroupID) -> PodTask? {
        guard let path = cgroups.path(of: cgroup), let pod = root.parse(path),
            pod.podDepth <= CallerTag.ancestorCount
        else { return nil }
        var ancestors: InlineArray<5, UInt64> = .init(repeating: 0)
        var ancestor = root.path
        let names = path.dropFirst(root.path.count).split(separator: UInt8(ascii: "/"))
        for (index, name) in names.prefix(CallerTag.ancestorCount).enumerated() {
            ancestor += [UInt8(ascii: "/")] + name
            guard let id = cgroups.id(of: ancestor) else { return nil }
            ancestors[index] = id.rawValue
        }
        let tag = CallerTag(
            ancestors: ancestors, leaf: cgroup, networkNamespaceCookie: 0, socketCookie: 0,
            originalDestination: OriginalDestination(address: .ipv4(0), port: 0))
        return PodTask(tag: tag, uid: pod.uid, podCgroup: ancestors[pod.podDepth - 1])
    }
}
