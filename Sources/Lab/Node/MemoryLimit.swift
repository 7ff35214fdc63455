import Foundation

/// A memory cgroup for the agent, of whichever version has the controller on this machine.
package struct MemoryLimit: Sendable {
    /// `cgroup v1` or `cgroup v2`.
    package let mechanism: String
    private let directory: String
    private let isVersion2: Bool

    /// Makes the cgroup; fails where no hierarchy has the memory controller.
    package init(bytes: Int, name: String) throws {
        let version1 = "/sys/fs/cgroup/memory"
        if FileManager.default.fileExists(atPath: version1 + "/memory.limit_in_bytes") {
            (mechanism, directory, isVersion2) = ("cgroup v1", "\(version1)/\(name)", false)
        } else if let mount = try LabNode.findCgroupMountPoint() {
            (mechanism, directory, isVersion2) = ("cgroup v2", "\(mount)/\(name)-memory", true)
            try "+memory".write(toFile: mount + "/cgroup.subtree_control", atomically: false, encoding: .utf8)
        } else {
            throw LabError("no cgroup hierarchy has the memory controller")
        }
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let limit = directory + (isVersion2 ? "/memory.max" : "/memory.limit_in_bytes")
        try "\(bytes)".write(toFile: limit, atomically: false, encoding: .utf8)
    }

    /// The command that runs another one within the limit.
    package var prefix: [String] { ["sh", "-c", "echo 0 > \"$0\" && exec \"$@\"", directory + "/cgroup.procs"] }

    /// The most that was ever in use.
    package func peakBytes() throws -> Int {
        let file = directory + (isVersion2 ? "/memory.peak" : "/memory.max_usage_in_bytes")
        let text = try String(contentsOfFile: file, encoding: .utf8).trimmingCharacters(in: .newlines)
        guard let peak = Int(text) else { throw LabError("\(file) says \(text)") }
        return peak
    }

    /// Removes it, once nothing is in it.
    package func remove() {
        unsafe rmdir(directory)
    }
}
