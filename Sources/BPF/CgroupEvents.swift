package import Attribution
import CBPFPrograms
import CLibbpf
import Glibc
import Synchronization

/// A change of the cgroup tree near the kubepods root.
package enum CgroupEvent: Sendable, Equatable {
    case made(CgroupID)
    case removed(CgroupID)
    /// No process is left in the cgroup or below it. It may run again.
    case emptied(CgroupID)
    /// Events were lost: only a walk tells what is there.
    case lost
}

/// A running source of cgroup events. Stops when told to or when dropped.
package protocol CgroupEventSource: Sendable {
    /// How the events are obtained, for the log and the debug dump.
    var mechanism: String { get }
    /// Ends the events; none is delivered after it returns.
    func stop()
}

/// Events from the raw tracepoints `cgroup_mkdir` and `cgroup_rmdir`, through a BPF ring buffer.
///
/// Not pinned: an agent that is away misses nothing that its start-up walk would not find.
package final class TracepointCgroupEvents: CgroupEventSource {
    package let mechanism = "tracepoints"
    private let thread: PollThread
    private let queue: RingQueue

    /// Attaches the tracepoints and delivers events to `handle` on a thread of their own. A cgroup is reported once
    /// `cgroups` finds it by its ID.
    ///
    /// Needs BTF (`/sys/kernel/btf/vmlinux`); where that is missing, use ``InotifyCgroupEvents``.
    package init(
        pinDirectory: PinDirectory, cgroups: CgroupFileSystem, handle: @escaping @Sendable (CgroupEvent) -> Void
    ) throws(BPFError) {
        let queue = try RingQueue(pinDirectory: pinDirectory, cgroups: cgroups, handle: handle)
        self.queue = queue
        self.thread = try PollThread(name: "cgroup-events", descriptor: queue.descriptor) {
            queue.drain()
        }
    }

    package func stop() {
        thread.stop()
    }
}

/// The ring buffer and the programs that fill it.
private final class RingQueue: Sendable {
    private let state: Mutex<State>
    /// Readable when there are events.
    let descriptor: CInt

    @safe
    private struct State: ~Copyable {
        let skeleton: UnsafeMutablePointer<nid_cgroups_skeleton>
        let ring: OpaquePointer
        /// Owned by libbpf's context pointer; released with the ring.
        let context: Unmanaged<Context>
        var lost: UInt64

        deinit {
            unsafe ring_buffer__free(ring)
            unsafe nid_cgroups_skeleton__destroy(skeleton)
            unsafe context.release()
        }
    }

    private final class Context: Sendable {
        let cgroups: CgroupFileSystem
        let handle: @Sendable (CgroupEvent) -> Void
        let unfinished = Mutex(UnfinishedCgroups())

        init(cgroups: CgroupFileSystem, handle: @escaping @Sendable (CgroupEvent) -> Void) {
            self.cgroups = cgroups
            self.handle = handle
        }

        func deliver(_ event: nid_cgroup_event) {
            let id = CgroupID(rawValue: event.id)
            switch event.kind {
            case NID_CGROUP_MADE.rawValue:
                if cgroups.contains(id) {
                    handle(.made(id))
                } else if !unfinished.withLock({ $0.insert(id) }) {
                    handle(.lost)
                }
            case NID_CGROUP_REMOVED.rawValue:
                // The removal of a cgroup that was never reported counts, too: an agent may have looked it up by its
                // ID.
                unfinished.withLock { $0.remove(id) }
                handle(.removed(id))
            case NID_CGROUP_EMPTIED.rawValue: handle(.emptied(id))
            default: handle(.lost)
            }
        }

        /// Delivers what can be found by now; `true` if something still cannot.
        func deliverUnfinished() -> Bool {
            let (found, isWaiting) = unfinished.withLock { unfinished in
                unfinished.isEmpty ? ([], false) : (unfinished.takeFound(cgroups.contains), !unfinished.isEmpty)
            }
            for id in found { handle(.made(id)) }
            return isWaiting
        }
    }

    init(
        pinDirectory: PinDirectory, cgroups: CgroupFileSystem, handle: @escaping @Sendable (CgroupEvent) -> Void
    ) throws(BPFError) {
        LibbpfLog.capture()
        let state = try Self.start(
            pinDirectory: pinDirectory, context: Context(cgroups: cgroups, handle: handle))
        self.descriptor = unsafe ring_buffer__epoll_fd(state.ring)
        self.state = Mutex(state)
    }

    private static func start(
        pinDirectory: PinDirectory, context handler: Context
    ) throws(BPFError) -> State {
        let opened = unsafe pinDirectory.maps.withCString { maps in
            var options = unsafe openOptions(pinningMapsBelow: maps)
            return unsafe nid_cgroups_skeleton__open_opts(&options)
        }
        guard let skeleton = unsafe opened else {
            throw BPFError("open the cgroup event programs", errorNumber: errno)
        }
        do throws(BPFError) {
            try checkLoad(unsafe nid_cgroups_skeleton__load(skeleton), "cgroup event")
            try check(unsafe nid_cgroups_skeleton__attach(skeleton), "attach to the cgroup tracepoints")
        } catch {
            unsafe nid_cgroups_skeleton__destroy(skeleton)
            throw error
        }
        let context = unsafe Unmanaged.passRetained(handler)
        let ring = unsafe ring_buffer__new(
            bpf_map__fd(skeleton.pointee.maps.nid_cgroup_events),
            { context, data, size in
                guard let context = unsafe context, let data = unsafe data,
                    size >= MemoryLayout<nid_cgroup_event>.size
                else { return 0 }
                let event = unsafe data.loadUnaligned(as: nid_cgroup_event.self)
                unsafe Unmanaged<Context>.fromOpaque(context).takeUnretainedValue().deliver(event)
                return 0
            }, context.toOpaque(), nil
        )
        guard let ring = unsafe ring else {
            let number = errno
            unsafe context.release()
            unsafe nid_cgroups_skeleton__destroy(skeleton)
            throw BPFError("open the ring buffer of cgroup events", errorNumber: number)
        }
        return unsafe State(skeleton: skeleton, ring: ring, context: context, lost: lostEvents(skeleton))
    }

    /// Delivers what is queued, and `.lost` after it if the kernel had to drop some since the last call. `true` if some
    /// of it cannot be delivered yet.
    func drain() -> Bool {
        let (lostSome, context) = state.withLock { state in
            unsafe ring_buffer__consume(state.ring)
            let lost = unsafe Self.lostEvents(state.skeleton)
            defer { state.lost = lost }
            return (lost != state.lost, unsafe state.context.takeUnretainedValue())
        }
        if lostSome { context.handle(.lost) }
        return context.deliverUnfinished()
    }

    @unsafe
    private static func lostEvents(_ skeleton: UnsafeMutablePointer<nid_cgroups_skeleton>) -> UInt64 {
        let counters = try? unsafe DatapathCounters(readingMap: bpf_map__fd(skeleton.pointee.maps.nid_stats))
        return counters?["cgroup_event_lost"] ?? 0
    }
}
