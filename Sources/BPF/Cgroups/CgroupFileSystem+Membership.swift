import Glibc
import Linux

extension CgroupFileSystem {
    /// The most cgroups that a search for the own one looks at: more than a node has.
    private static let searchLimit = 65_536

    /// The path of the cgroup that this process is in, from the root of the hierarchy; `nil` if it is not found.
    ///
    /// `/proc/self/cgroup` tells it as seen from this process's cgroup namespace, in which a container is usually at
    /// `/`. So what it says is taken only if the process is listed there; otherwise the one cgroup is searched that lists
    /// it: the kernel translates process IDs for the reader and shows those of other PID namespaces as 0.
    package func ownPath() -> [UInt8]? {
        if let path = Self.ownPathInNamespace(), listsThisProcess(path) { return path }
        var level: [[UInt8]] = [[UInt8(ascii: "/")]]
        var seen = 0
        while !level.isEmpty {
            var next: [[UInt8]] = []
            for path in level {
                if listsThisProcess(path) { return path }
                seen += 1
                guard seen < Self.searchLimit else { return nil }
                next += children(of: path).map(\.path)
            }
            level = next
        }
        return nil
    }

    /// The processes of a cgroup, without those of cgroups below it; 0 for each of another PID namespace.
    package func processes(in path: [UInt8]) -> [Int32] {
        let file = [UInt8](mountPoint.utf8) + (path.last == UInt8(ascii: "/") ? path : path + [UInt8(ascii: "/")])
        let text = FileContents.read(file + [UInt8]("cgroup.procs".utf8), atMost: 16 << 20) ?? []
        return text.split(separator: UInt8(ascii: "\n")).compactMap { Int32(String(decoding: $0, as: UTF8.self)) }
    }

    private func listsThisProcess(_ path: [UInt8]) -> Bool {
        processes(in: path).contains(getpid())
    }

    private static func ownPathInNamespace() -> [UInt8]? {
        guard let text = FileContents.read("/proc/self/cgroup") else { return nil }
        let prefix = [UInt8]("0::".utf8)
        return text.split(separator: UInt8(ascii: "\n")).first { $0.starts(with: prefix) }
            .map { Array($0.dropFirst(prefix.count)) }
    }
}
