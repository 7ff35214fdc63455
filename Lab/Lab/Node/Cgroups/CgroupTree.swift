import Foundation

/// Operations on whole subtrees of the cgroup v2 hierarchy.
package enum CgroupTree {
    /// Kills what runs in `directory` and below, then removes every cgroup of it, leaves first.
    package static func remove(_ directory: String) async {
        guard unsafe access(directory, F_OK) == 0 else { return }
        let isKilled = (try? "1".write(toFile: directory + "/cgroup.kill", atomically: false, encoding: .utf8)) != nil
        await waitUntilEmpty(directory) {
            if !isKilled { killEach(Array(directory.utf8CString)) }
        }
        removeEmpty(Array(directory.utf8CString))
    }

    /// Waits, at most a minute (times ``LabKernel/patience``), for the kernel to report that no process is left (`populated 0`, poll(2) on cgroup.events).
    ///
    /// - Parameters:
    ///   - directory: The cgroup.
    ///   - look: Called before each look.
    private static func waitUntilEmpty(_ directory: String, look: () -> Void) async {
        let events = unsafe open(directory + "/cgroup.events", O_RDONLY | O_CLOEXEC)
        guard events >= 0 else { return }
        defer { close(events) }
        let deadline = ContinuousClock.now + .seconds(60) * LabKernel.patience
        while ContinuousClock.now < deadline {
            look()
            var buffer = [UInt8](repeating: 0, count: 256)
            let length = unsafe pread(events, &buffer, buffer.count, 0)
            if length <= 0 || String(decoding: buffer.prefix(length), as: UTF8.self).contains("populated 0") { return }
            var polled = pollfd(fd: events, events: Int16(POLLPRI), revents: 0)
            unsafe poll(&polled, 1, 1000)
        }
    }

    /// Kills the processes one after the other: Linux has `cgroup.kill` since 5.14.
    private static func killEach(_ directory: [CChar]) {
        let file = unsafe open(directory.dropLast() + Array("/cgroup.procs".utf8CString), O_RDONLY | O_CLOEXEC)
        if file >= 0 {
            var buffer = [UInt8](repeating: 0, count: 65_536)
            let length = unsafe read(file, &buffer, buffer.count)
            close(file)
            for line in String(decoding: buffer.prefix(max(length, 0)), as: UTF8.self).split(separator: "\n") {
                if let process = Int32(line), process > 0 { kill(process, SIGKILL) }
            }
        }
        for child in children(of: directory) { killEach(child) }
    }

    /// Leaves first, and by bytes: a cgroup's name need not be text, and a pod chooses it.
    private static func removeEmpty(_ directory: [CChar]) {
        for child in children(of: directory) { removeEmpty(child) }
        unsafe rmdir(directory)
    }

    /// The paths of the directories in `directory`, each with its final NUL.
    private static func children(of directory: [CChar]) -> [[CChar]] {
        guard let stream = unsafe opendir(directory) else { return [] }
        defer { unsafe closedir(stream) }
        let base = directory.dropLast() + [CChar(UInt8(ascii: "/"))]
        var paths: [[CChar]] = []
        while let entry = unsafe readdir(stream) {
            guard unsafe Int(entry.pointee.d_type) == Int(DT_DIR) else { continue }
            let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                unsafe Array(bytes.prefix { $0 != 0 }).map { CChar(bitPattern: $0) }
            }
            if name != Array(".".utf8CString.dropLast()), name != Array("..".utf8CString.dropLast()) {
                paths.append(base + name + [0])
            }
        }
        return paths
    }
}
