package import Attribution
import CLibbpf
import Glibc

/// The cgroup v2 hierarchy as files: walks, and paths by ID.
package final class CgroupFileSystem: Sendable, CgroupPathResolving {
    /// Where cgroup v2 is mounted, without a final slash.
    package let mountPoint: String
    private let mount: FileDescriptor
    /// `mountPoint` as the kernel spells it in descriptors' paths.
    private let prefix: [UInt8]

    private static let cgroup2Magic = 0x6367_7270

    /// Opens the hierarchy mounted at `mountPoint`.
    package init(mountPoint: String) throws(BPFError) {
        let descriptor = unsafe try FileDescriptor(
            owning: open(mountPoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
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

    /// Where the first cgroup2 file system of this mount namespace is mounted, or `nil` if there is none.
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

    /// The ID of the cgroup at `path` below the root of the hierarchy, or `nil` if there is none.
    package func id(of path: [UInt8]) -> CgroupID? {
        var relative = path.drop { $0 == UInt8(ascii: "/") }.map { CChar(bitPattern: $0) }
        if relative.isEmpty { relative = [CChar(bitPattern: UInt8(ascii: "."))] }
        relative.append(0)
        var status = stat()
        guard unsafe fstatat(mount.rawValue, relative, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return nil }
        return CgroupID(rawValue: UInt64(status.st_ino))
    }

    /// The path of the cgroup with this ID from the root of the hierarchy, or `nil` if it is gone.
    ///
    /// Asks the kernel by ID (`open_by_handle_at`), never by name, so it cannot be answered by a namesake.
    package func path(of id: CgroupID) -> [UInt8]? {
        let descriptor = nid_open_cgroup_by_id(mount.rawValue, id.rawValue)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        guard let path = Self.path(ofDescriptor: descriptor), path.starts(with: prefix) else { return nil }
        let relative = path.dropFirst(prefix.count)
        return relative.isEmpty ? [UInt8(ascii: "/")] : [UInt8](relative)
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
        var relative = parent.drop { $0 == UInt8(ascii: "/") }.map { CChar(bitPattern: $0) }
        if relative.isEmpty { relative = [CChar(bitPattern: UInt8(ascii: "."))] }
        relative.append(0)
        let descriptor = unsafe openat(mount.rawValue, relative, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
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

    private static func readMounts() throws(BPFError) -> String {
        let descriptor = unsafe try FileDescriptor(
            owning: open("/proc/self/mounts", O_RDONLY | O_CLOEXEC), "read /proc/self/mounts"
        )
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16 * 1024)
        while true {
            let length = unsafe read(descriptor.rawValue, &buffer, buffer.count)
            guard length > 0 else { return String(decoding: text, as: UTF8.self) }
            text.append(contentsOf: buffer.prefix(length))
        }
    }

    private static func path(ofDescriptor descriptor: CInt) -> [UInt8]? {
        // The kernel cuts nothing here: a path that does not fit is an error.
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = unsafe readlink("/proc/self/fd/\(descriptor)", &buffer, buffer.count)
        guard length > 0, length < buffer.count else { return nil }
        return buffer.prefix(length).map { UInt8(bitPattern: $0) }
    }
}
