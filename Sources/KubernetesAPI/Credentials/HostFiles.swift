import FoundationEssentials

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The node's files as the agent sees them: below a mount point when it runs in a container.
///
/// Symbolic links are resolved here and not by the kernel, because an absolute link of the node (the kubelet writes
/// such a one for its rotating certificate) means a path below the mount point.
package struct HostFiles: Sendable, Hashable {
    /// The directory where the node's root is mounted, without a slash at the end; empty if the agent runs in it.
    package let root: String

    /// The links that the kernel itself follows before it gives up (`MAXSYMLINKS`).
    private static let linkLimit = 40

    package init(root: String = "") {
        self.root = String(root.reversed().drop { $0 == "/" }.reversed())
    }

    /// The agent's path for the node's absolute `path`.
    package func located(_ path: String) -> String { root + path }

    /// The regular file at the agent's `path`, whole; one longer than `limit` bytes is an error.
    package func read(_ path: String, limit: Int) throws(KubernetesAPIError) -> [UInt8] {
        let version = try version(of: path)
        guard version.size <= limit else {
            throw KubernetesAPIError(path, "is \(version.size) bytes long; at most \(limit) are read")
        }
        do {
            return [UInt8](try Data(contentsOf: URL(filePath: version.path)))
        } catch {
            throw KubernetesAPIError(path, "cannot be read; check its permissions and the mount")
        }
    }

    /// The difference between one version of a file and the next: the file at the end of the links, and its change.
    package struct Version: Sendable, Hashable {
        package var path: String
        package var device: UInt64
        package var inode: UInt64
        package var modifiedSeconds: Int64
        package var modifiedNanoseconds: Int64
        package var size: Int64
    }

    package func version(of path: String) throws(KubernetesAPIError) -> Version {
        let target = try resolved(path)
        var status = stat()
        guard unsafe stat(target, &status) == 0 else {
            throw KubernetesAPIError(path, "does not exist (or is not visible from here); check the path and the mount")
        }
        guard status.st_mode & S_IFMT == S_IFREG else { throw KubernetesAPIError(path, "is not a regular file") }
        return Version(
            path: target,
            device: UInt64(status.st_dev),
            inode: UInt64(status.st_ino),
            modifiedSeconds: Int64(status.st_mtim.tv_sec),
            modifiedNanoseconds: Int64(status.st_mtim.tv_nsec),
            size: Int64(status.st_size)
        )
    }

    /// `path` without links: absolute ones start again at the root that `path` is below.
    func resolved(_ path: String) throws(KubernetesAPIError) -> String {
        let isBelowRoot = !root.isEmpty && path.hasPrefix(root + "/")
        let base = isBelowRoot ? root : ""
        var pending = Self.components(path.dropFirst(base.count))
        var done: [Substring] = []
        var links = 0
        while let component = pending.popLast() {
            if component == ".." {
                _ = done.popLast()
                continue
            }
            let candidate = base + "/" + (done + [component]).joined(separator: "/")
            guard let target = try? FileManager.default.destinationOfSymbolicLink(atPath: candidate) else {
                done.append(component)
                continue
            }
            links += 1
            guard links <= Self.linkLimit else { throw KubernetesAPIError(path, "is a loop of symbolic links") }
            if target.hasPrefix("/") { done = [] }
            pending += Self.components(target[...])
        }
        return base + "/" + done.joined(separator: "/")
    }

    /// The components, the last first, so that the next one is at the end.
    private static func components(_ path: Substring) -> [Substring] {
        path.split(separator: "/").filter { $0 != "." }.reversed()
    }
}
