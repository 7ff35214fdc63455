import Foundation

/// Operations on whole subtrees of the cgroup v2 hierarchy.
package enum CgroupTree {
    /// Kills what runs in `directory` and below, then removes every cgroup of it, leaves first.
    package static func remove(_ directory: String) async {
        guard unsafe access(directory, F_OK) == 0 else { return }
        try? "1".write(toFile: directory + "/cgroup.kill", atomically: false, encoding: .utf8)
        await waitUntilEmpty(directory)
        removeEmpty(directory)
    }

    /// Waits, at most 10 s, for the kernel to report that no process is left (`populated 0`, poll(2) on cgroup.events).
    private static func waitUntilEmpty(_ directory: String) async {
        let events = unsafe open(directory + "/cgroup.events", O_RDONLY | O_CLOEXEC)
        guard events >= 0 else { return }
        defer { close(events) }
        let deadline = ContinuousClock.now + .seconds(10)
        while ContinuousClock.now < deadline {
            var buffer = [UInt8](repeating: 0, count: 256)
            let length = unsafe pread(events, &buffer, buffer.count, 0)
            if length <= 0 || String(decoding: buffer.prefix(length), as: UTF8.self).contains("populated 0") { return }
            var polled = pollfd(fd: events, events: Int16(POLLPRI), revents: 0)
            unsafe poll(&polled, 1, 1000)
        }
    }

    private static func removeEmpty(_ directory: String) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        for name in names {
            var isDirectory: ObjCBool = false
            let child = directory + "/" + name
            if unsafe FileManager.default.fileExists(atPath: child, isDirectory: &isDirectory), isDirectory.boolValue {
                removeEmpty(child)
            }
        }
        unsafe rmdir(directory)
    }
}
