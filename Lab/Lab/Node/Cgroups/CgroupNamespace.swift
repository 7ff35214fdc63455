import Foundation

/// A cgroup namespace with a mount namespace in which it is mounted: what a kind node's container is to its pods.
///
/// Held by a process in the namespace's own hierarchy, so that it ends when the node's cgroups are removed.
struct CgroupNamespace: Sendable {
    private let holder: Command

    /// Makes one that begins at the cgroup `root`, a directory, and is mounted at `mountPoint`.
    init(root: String, mountPoint: String) async throws {
        let script = """
            umount --lazy "$1"
            mount -t cgroup2 cgroup2 "$1"
            mkdir "$1/init.scope"
            echo 0 > "$1/init.scope/cgroup.procs"
            echo ready >&2
            exec sleep infinity
            """
        // A slave: what the lab mounts later, network namespaces among it, is seen inside as well.
        holder = try Command([
            "sh", "-c", "echo 0 > \"$0\" && exec \"$@\"", root + "/cgroup.procs", "unshare", "--cgroup", "--mount",
            "--propagation", "slave", "--", "sh", "-ec", script, "sh", mountPoint,
        ])
        do {
            try await holder.errorLines.first(within: .seconds(60)) { $0 == "ready" }
        } catch {
            holder.signal(SIGKILL)
            throw LabError("no cgroup namespace at \(root): \(holder.errorLines.events.joined(separator: "; "))")
        }
    }

    /// The arguments with which nsenter(1) enters both namespaces.
    var entries: [String] {
        ["cgroup", "mnt"].map { "--\($0 == "mnt" ? "mount" : $0)=/proc/\(holder.processIdentifier)/ns/\($0)" }
    }

    /// The path at which the hierarchy that is mounted at `mountPoint` inside is seen from outside.
    func path(_ mountPoint: String) -> String { "/proc/\(holder.processIdentifier)/root\(mountPoint)" }
}
