import Foundation

/// Removes what a lab left behind that could not clean up after itself, because it was killed.
package enum LabSweep {
    /// - Returns: The identifiers of the labs that were removed.
    package static func run() async throws -> [String] {
        try LabNode.requireRoot()
        var removed: [String] = []
        for identifier in abandoned() {
            await remove(identifier)
            removed.append(identifier)
        }
        return removed
    }

    /// Labs whose process is gone, by the directories and namespaces that carry their name.
    private static func abandoned() -> [String] {
        let names =
            ((try? FileManager.default.contentsOfDirectory(atPath: "/run")) ?? [])
            + ((try? FileManager.default.contentsOfDirectory(atPath: "/run/netns")) ?? [])
        let identifiers = names.compactMap { name -> String? in
            let parts = name.split(separator: "-")
            guard parts.count >= 3, parts[0] == LabNode.prefix, let owner = Int32(parts[1]) else { return nil }
            return isAlive(owner) ? nil : parts.prefix(3).joined(separator: "-")
        }
        return Set(identifiers).sorted()
    }

    /// Whether a process runs: one that has ended, and waits for its parent to notice, does not.
    static func isAlive(_ process: Int32) -> Bool {
        guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8) else { return false }
        // The name is in parentheses, and may hold some: proc(5).
        let state = text.split(separator: ")").last?.first { $0 != " " }
        return state.map { !"ZX".contains($0) } ?? false
    }

    private static func remove(_ identifier: String) async {
        let directory = "/run/\(identifier)"
        if let mountPoint = try? LabNode.findCgroupMountPoint() {
            await CgroupTree.remove("\(mountPoint)/\(identifier)")
        }
        for namespace in (try? FileManager.default.contentsOfDirectory(atPath: "/run/netns")) ?? []
        where namespace.hasPrefix(identifier + "-") {
            await LabNode.removeNamespace(namespace)
        }
        // The pins go with their file system, and the attachments with the pins.
        for mount in ["/bpf", "/cgroup"] {
            _ = try? await Command.run(["umount", "--quiet", "--lazy", directory + mount])
        }
        try? FileManager.default.removeItem(atPath: directory)
    }
}
