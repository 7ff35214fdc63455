import Attribution
import CLibbpf
import Glibc
import Synchronization

/// Events from inotify on the directories near the kubepods root: for kernels without BTF.
///
/// Slower than the tracepoints, and blind to what happens in a directory before its watch exists. The walk of each new
/// directory makes up for that.
package final class InotifyCgroupEvents: CgroupEventSource {
    package let mechanism = "inotify"
    package let reportsEnds = false
    private let thread: PollThread
    /// `nil` once it has stopped: the kernel would go on to queue events.
    private let watches: Mutex<Watches?>

    /// Watches `root` and the directories at most `depth - 1` levels below it.
    package init(
        cgroups: CgroupFileSystem, root: [UInt8], depth: Int, handle: @escaping @Sendable (CgroupEvent) -> Void
    ) throws(BPFError) {
        let watches = try Watches(cgroups: cgroups, depth: depth, handle: handle)
        watches.add(root, depth: 0)
        self.thread = try PollThread(name: "cgroup-events", descriptor: watches.descriptor) {
            watches.drain()
            return false
        }
        self.watches = Mutex(watches)
    }

    package func stop() {
        thread.stop()
        watches.withLock { $0 = nil }
    }
}

/// The inotify descriptor and what each watch stands for.
private final class Watches: Sendable {
    private struct Directory {
        var path: [UInt8]
        var depth: Int
    }

    private struct State {
        var directories: [CInt: Directory] = [:]
        /// IDs of what was seen, since a removed directory can no longer be asked for its own.
        var ids: [[UInt8]: CgroupID] = [:]
    }

    private let inotify: FileDescriptor
    private let cgroups: CgroupFileSystem
    private let depth: Int
    private let handle: @Sendable (CgroupEvent) -> Void
    private let state = Mutex(State())

    var descriptor: CInt { inotify.rawValue }

    init(cgroups: CgroupFileSystem, depth: Int, handle: @escaping @Sendable (CgroupEvent) -> Void) throws(BPFError) {
        self.inotify = try FileDescriptor(
            owning: inotify_init1(CInt(IN_CLOEXEC | IN_NONBLOCK)), "watch the cgroup tree by inotify"
        )
        self.cgroups = cgroups
        self.depth = depth
        self.handle = handle
    }

    /// Watches `path` and everything that is below it already.
    func add(_ path: [UInt8], depth level: Int) {
        guard level < depth else { return }
        var name = ([UInt8](cgroups.mountPoint.utf8) + path).map { CChar(bitPattern: $0) }
        name.append(0)
        let mask = IN_CREATE | IN_DELETE | IN_ONLYDIR
        let watch = unsafe inotify_add_watch(inotify.rawValue, name, UInt32(mask))
        guard watch >= 0 else {
            // Gone again, or out of watches: look-ups by ID answer for what events cannot.
            return
        }
        state.withLock { $0.directories[watch] = Directory(path: path, depth: level) }
        for child in cgroups.children(of: path) {
            made(child.path, id: child.id, depth: level + 1)
        }
    }

    private func made(_ path: [UInt8], id: CgroupID, depth level: Int) {
        state.withLock { $0.ids[path] = id }
        handle(.made(id))
        add(path, depth: level)
    }

    func drain() {
        var buffer = [UInt8](repeating: 0, count: 16 * 1024)
        while true {
            let length = unsafe read(inotify.rawValue, &buffer, buffer.count)
            guard length > 0 else { return }
            var rest = buffer.prefix(length)
            while let event = InotifyRecord(removingFirstOf: &rest) {
                apply(event)
            }
        }
    }

    private func apply(_ event: InotifyRecord) {
        if event.mask & UInt32(IN_Q_OVERFLOW) != 0 { return handle(.lost) }
        if event.mask & UInt32(IN_IGNORED) != 0 {
            return state.withLock { $0.directories[event.watch] = nil }
        }
        guard event.mask & UInt32(bitPattern: CInt(truncatingIfNeeded: IN_ISDIR)) != 0,
            let parent = state.withLock({ $0.directories[event.watch] })
        else { return }
        let path = parent.path + [UInt8(ascii: "/")] + event.name
        if event.mask & UInt32(IN_CREATE) != 0 {
            if let id = cgroups.id(of: path) { made(path, id: id, depth: parent.depth + 1) }
        } else if let id = state.withLock({ $0.ids.removeValue(forKey: path) }) {
            handle(.removed(id))
        }
    }
}

/// One `struct inotify_event`.
private struct InotifyRecord {
    let watch: CInt
    let mask: UInt32
    let name: [UInt8]

    /// wd, mask, cookie and len, four bytes each, before the name.
    private static let headerLength = 16

    init?(removingFirstOf bytes: inout ArraySlice<UInt8>) {
        guard bytes.count >= Self.headerLength else { return nil }
        func word(at offset: Int) -> UInt32 {
            bytes.dropFirst(offset).prefix(4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
        }
        let length = Int(word(at: 12))
        guard bytes.count >= Self.headerLength + length else { return nil }
        watch = CInt(bitPattern: word(at: 0))
        mask = word(at: 4)
        name = [UInt8](bytes.dropFirst(Self.headerLength).prefix(length).prefix { $0 != 0 })
        bytes = bytes.dropFirst(Self.headerLength + length)
    }
}
