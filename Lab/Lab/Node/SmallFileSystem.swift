import Foundation

/// A file system with room for almost nothing, which can be filled up.
package struct SmallFileSystem: Sendable {
    package let path: String

    private var filler: String { path + "/filler" }

    /// Mounts it at a new directory: one page, and `files` files besides the root and what fills it.
    package init(at path: String, files: Int) async throws {
        self.path = path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try await Command.require(
            ["mount", "-t", "tmpfs", "-o", "mode=0700,size=4k,nr_inodes=\(files + 2)", "tmpfs", path])
    }

    /// Uses up every byte and every file.
    package func fill() throws {
        for number in 0..<1000 {
            let file = unsafe open("\(filler)-\(number)", O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
            guard file >= 0 else {
                guard errno == ENOSPC, number > 0 else { break }
                return
            }
            // The first one takes the only page.
            _ = unsafe write(file, "full", 4)
            close(file)
        }
        throw LabError("\(path) cannot be filled: error \(errno)")
    }

    /// Gives everything back.
    package func free() throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: path) where name.hasPrefix("filler") {
            try FileManager.default.removeItem(atPath: "\(path)/\(name)")
        }
    }

    /// Unmounts it.
    package func remove() async {
        _ = try? await Command.run(["umount", "--lazy", path])
    }
}
