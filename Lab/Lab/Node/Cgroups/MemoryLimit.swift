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
        try write(bytes, to: isVersion2 ? "memory.max" : "memory.limit_in_bytes")
        // Version 1 counts what sockets keep only where that has a limit, and apart from everything else.
        if !isVersion2 { try? write(bytes, to: "memory.kmem.tcp.limit_in_bytes") }
    }

    /// The command that runs another one within the limit.
    package var prefix: [String] { ["sh", "-c", "echo 0 > \"$0\" && exec \"$@\"", directory + "/cgroup.procs"] }

    /// The most that was ever in use.
    package func peakBytes() throws -> Int {
        try read(isVersion2 ? "memory.peak" : "memory.max_usage_in_bytes")
    }

    /// The memory in use now as version 2 counts it: with what the kernel keeps for sockets, which is also returned by
    /// itself.
    package func usage() throws -> (total: Int, sockets: Int) {
        guard isVersion2 else {
            let sockets = (try? read("memory.kmem.tcp.usage_in_bytes")) ?? 0
            return (try read("memory.usage_in_bytes") + sockets, sockets)
        }
        let statistics = try String(contentsOfFile: directory + "/memory.stat", encoding: .utf8)
        let sockets = statistics.split(separator: "\n").first { $0.hasPrefix("sock ") }
        return (try read("memory.current"), sockets.flatMap { Int($0.dropFirst(5)) } ?? 0)
    }

    /// How often the kernel killed a process of the cgroup for want of memory.
    package func kills() throws -> Int {
        let text = try String(
            contentsOfFile: directory + (isVersion2 ? "/memory.events" : "/memory.oom_control"), encoding: .utf8)
        let line = text.split(separator: "\n").first { $0.hasPrefix("oom_kill ") }
        return line.flatMap { Int($0.dropFirst("oom_kill ".count)) } ?? 0
    }

    private func read(_ name: String) throws -> Int {
        let text = try String(contentsOfFile: "\(directory)/\(name)", encoding: .utf8)
            .trimmingCharacters(in: .newlines)
        guard let value = Int(text) else { throw LabError("\(directory)/\(name) says \(text)") }
        return value
    }

    private func write(_ value: Int, to name: String) throws {
        try "\(value)".write(toFile: "\(directory)/\(name)", atomically: false, encoding: .utf8)
    }

    /// Removes it, once nothing is in it: the agent's opener ends a moment after the agent.
    package func remove() {
        let deadline = ContinuousClock.now + .seconds(10)
        while unsafe rmdir(directory) != 0, errno == EBUSY, ContinuousClock.now < deadline { usleep(10_000) }
    }
}
