package import Attribution
import CLibbpf
import Glibc
import Linux
import Synchronization

/// The cgroup v2 hierarchy as files: walks, and paths by ID.
///
/// Paths count from the root of the mount. In a cgroup namespace (kind, k3d) that is the namespace's own root and not
/// the kernel's: see ``locate(_:)`` for what the kernel counts.
package final class CgroupFileSystem: Sendable, CgroupPathResolving {
    /// The path at which cgroup v2 is mounted, without a final slash.
    package let mountPoint: String
    private let mount: FileDescriptor
    /// `mountPoint` as the kernel spells it in descriptors' paths.
    private let prefix: [UInt8]
    /// The program that is loaded when it is first needed, and kept: the kubelet may make kubepods again.
    let levelProgram = Mutex<LevelProgram?>(nil)

    private static let cgroup2Magic = 0x6367_7270

    /// Opens the hierarchy mounted at `mountPoint`.
    package init(mountPoint: String) throws(BPFError) {
        let descriptor = unsafe try FileDescriptor(
            owning: Glibc.open(mountPoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
            "open the cgroup v2 hierarchy at \(mountPoint)"
        )
        var info = statfs()
        guard unsafe fstatfs(descriptor.rawValue, &info) == 0, info.f_type == Self.cgroup2Magic else {
            throw BPFError(
                "use \(mountPoint) as cgroup v2 hierarchy",
                hint: "no cgroup2 file system is mounted there; set cgroup.mount-point to where one is"
            )
        }
        guard let prefix = Self.path(ofDescriptor: descriptor.rawValue) else {
            throw BPFError("read the path of \(mountPoint)", errorNumber: errno)
        }
        self.mountPoint = mountPoint
        self.mount = descriptor
        self.prefix = prefix == [UInt8(ascii: "/")] ? [] : prefix
    }

    /// The path at which the first cgroup2 file system of this mount namespace is mounted, or `nil` if there is none.
    ///
    /// Hosts with cgroup v1 and v2 side by side mount v2 below `/sys/fs/cgroup`, at a place of their choice.
    package static func findMountPoint() throws(BPFError) -> String? {
        let mounts = try readMounts()
        return findMountPoint(in: mounts)
    }

    /// Whether cgroup v1 hierarchies are mounted as well: the kubelet may then keep its pods there.
    package static func hasVersion1() throws(BPFError) -> Bool {
        try readMounts().split(separator: "\n").contains { $0.split(separator: " ").dropFirst(2).first == "cgroup" }
    }

    static func findMountPoint(in mounts: String) -> String? {
        for line in mounts.split(separator: "\n") {
            let fields = line.split(separator: " ", omittingEmptySubsequences: false)
            if fields.count >= 3, fields[2] == "cgroup2" {
                return String(fields[1].replacing("\\040", with: " "))
            }
        }
        return nil
    }

    /// The ID of the cgroup at `path` below the root of the mount, or `nil` if there is none.
    package func id(of path: [UInt8]) -> CgroupID? {
        var status = stat()
        guard unsafe fstatat(mount.rawValue, Self.relative(path), &status, AT_SYMLINK_NOFOLLOW) == 0 else { return nil }
        return CgroupID(rawValue: UInt64(status.st_ino))
    }

    /// A descriptor of the cgroup at `path`, or `nil` if there is none.
    func open(_ path: [UInt8]) -> FileDescriptor? {
        let descriptor = unsafe openat(
            mount.rawValue, Self.relative(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        return try? FileDescriptor(owning: descriptor, "open a cgroup")
    }

    /// A descriptor of the cgroup with this ID, or `nil` if it is gone.
    func open(_ id: CgroupID) -> FileDescriptor? {
        try? FileDescriptor(owning: nid_open_cgroup_by_id(mount.rawValue, id.rawValue), "open a cgroup by its ID")
    }

    /// The path of the cgroup with this ID from the root of the mount; `nil` if it is gone, or outside of the mount.
    ///
    /// Asks the kernel by ID (`open_by_handle_at`), never by name. The kernel opens cgroups outside of the node's
    /// cgroup namespace as well, and spells their paths from another root: what it spells counts only if the same cgroup
    /// is found there.
    package func path(of id: CgroupID) -> [UInt8]? {
        let descriptor = nid_open_cgroup_by_id(mount.rawValue, id.rawValue)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        guard let path = Self.path(ofDescriptor: descriptor), path.starts(with: prefix) else { return nil }
        let relative = path.dropFirst(prefix.count)
        let found = relative.isEmpty ? [UInt8(ascii: "/")] : [UInt8](relative)
        return self.id(of: found) == id ? found : nil
    }

    /// Whether root owns the cgroup at `path`: kubelets make theirs as root, users those that were delegated to them.
    package func isRootOwned(_ path: [UInt8]) -> Bool {
        var status = stat()
        return unsafe fstatat(mount.rawValue, Self.relative(path), &status, AT_SYMLINK_NOFOLLOW) == 0
            && status.st_uid == 0
    }

    /// Whether any process runs in the cgroup at `path` or below (`populated` in cgroup.events).
    package func isPopulated(_ path: [UInt8]) -> Bool {
        let file = [UInt8](mountPoint.utf8) + path + [UInt8]("/cgroup.events".utf8)
        guard let text = FileContents.read(file, atMost: 16 << 20) else { return false }
        return text.split(separator: UInt8(ascii: "\n")).contains { $0.elementsEqual("populated 1".utf8) }
    }

    /// Whether the cgroup with this ID can be found: not before its making is complete, and not after its removal.
    package func contains(_ id: CgroupID) -> Bool {
        let descriptor = nid_open_cgroup_by_id(mount.rawValue, id.rawValue)
        guard descriptor >= 0 else { return false }
        close(descriptor)
        return true
    }

    /// Every cgroup at most `depth` levels below `root`, parents before their children. Children are read only of
    /// cgroups for which `descends` holds.
    package func walk(
        below root: [UInt8], depth: Int, descends: ([UInt8]) -> Bool = { _ in true }
    ) -> [(id: CgroupID, path: [UInt8])] {
        var found: [(id: CgroupID, path: [UInt8])] = []
        var level = [root]
        for _ in 0..<depth {
            var next: [[UInt8]] = []
            for parent in level {
                for child in children(of: parent) {
                    found.append(child)
                    if descends(child.path) { next.append(child.path) }
                }
            }
            level = next
        }
        return found
    }

    /// The cgroups directly below `parent`.
    package func children(of parent: [UInt8]) -> [(id: CgroupID, path: [UInt8])] {
        let descriptor = unsafe openat(mount.rawValue, Self.relative(parent), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        guard let stream = unsafe fdopendir(descriptor) else {
            close(descriptor)
            return []
        }
        defer { unsafe closedir(stream) }
        var found: [(id: CgroupID, path: [UInt8])] = []
        while let entry = unsafe readdir(stream) {
            guard unsafe entry.pointee.d_type == DT_DIR else { continue }
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { unsafe [UInt8]($0.prefix { $0 != 0 }) }
            if name == [UInt8](".".utf8) || name == [UInt8]("..".utf8) { continue }
            let path = (parent.last == UInt8(ascii: "/") ? parent : parent + [UInt8(ascii: "/")]) + name
            found.append((CgroupID(rawValue: unsafe UInt64(entry.pointee.d_ino)), path))
        }
        return found
    }

    /// `path` as the kernel takes it from a descriptor of the mount, with its final NUL.
    private static func relative(_ path: [UInt8]) -> [CChar] {
        let relative = path.drop { $0 == UInt8(ascii: "/") }
        return (relative.isEmpty ? [UInt8(ascii: ".")] : relative).map { CChar(bitPattern: $0) } + [0]
    }

    private static func readMounts() throws(BPFError) -> String {
        guard let text = FileContents.read("/proc/self/mounts", atMost: 16 << 20) else {
            throw BPFError("read /proc/self/mounts", errorNumber: errno)
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The path of what `descriptor` stands for, as this mount namespace spells it.
    static func path(ofDescriptor descriptor: CInt) -> [UInt8]? {
        // The kernel cuts nothing here: a path that does not fit is an error.
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = unsafe readlink("/proc/self/fd/\(descriptor)", &buffer, buffer.count)
        guard length > 0, length < buffer.count else { return nil }
        return buffer.prefix(length).map { UInt8(bitPattern: $0) }
    }
}
