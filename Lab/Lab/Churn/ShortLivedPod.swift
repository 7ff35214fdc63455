import Foundation

/// A pod that is nothing but its cgroups: what a visitor enters.
package struct ShortLivedPod: Sendable {
    package let uid: String
    private let directory: String
    private let container: String

    package init(uid: String = UUID().uuidString.lowercased(), containerID: String, on node: LabNode) {
        self.uid = uid
        directory = node.cgroupDirectory(node.kubepods + node.layout.pod(uid: uid, quality: .besteffort))
        container = directory + node.layout.container(id: containerID)
    }

    package var processes: String { container + "/cgroup.procs" }

    package func makeCgroups() throws {
        try FileManager.default.createDirectory(atPath: container, withIntermediateDirectories: true)
    }

    /// Removes the cgroups, which must be empty.
    package func removeCgroups() throws {
        for path in [container, directory] {
            guard unsafe rmdir(path) == 0 else { throw LabError("cannot remove \(path): error \(errno)") }
        }
    }
}
