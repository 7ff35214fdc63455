package import Attribution
import CBPFPrograms
import CLibbpf
import Glibc
import Synchronization

/// A change of the cgroup tree near the kubepods root.
package enum CgroupEvent: Sendable, Equatable {
    case made(CgroupID)
    case removed(CgroupID)
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

    /// Attaches the tracepoints and delivers events to `handle` on a thread of their own.
    ///
    /// Needs BTF (`/sys/kernel/btf/vmlinux`); where that is missing, use ``InotifyCgroupEvents``.
    package init(
        pinDirectory: PinDirectory, handle: @escaping @Sendable (CgroupEvent) -> Void
    ) throws(BPFError) {
        let queue = try RingQueue(pinDirectory: pinDirectory, handle: handle)
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
        let handle: @Sendable (CgroupEvent) -> Void

        init(handle: @escaping @Sendable (CgroupEvent) -> Void) {
            self.handle = handle
        }

        func deliver(_ event: nid_cgroup_event) {
            let id = CgroupID(rawValue: event.id)
            switch event.kind {
            case NID_CGROUP_MADE.rawValue: handle(.made(id))
            case NID_CGROUP_REMOVED.rawValue: handle(.removed(id))
            default: handle(.lost)
            }
        }
    }

    init(pinDirectory: PinDirectory, handle: @escaping @Sendable (CgroupEvent) -> Void) throws(BPFError) {
        LibbpfLog.capture()
        let state = try Self.start(pinDirectory: pinDirectory, handle: handle)
        self.descriptor = unsafe ring_buffer__epoll_fd(state.ring)
        self.state = Mutex(state)
    }

    private static func start(
        pinDirectory: PinDirectory, handle: @escaping @Sendable (CgroupEvent) -> Void
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
        let context = unsafe Unmanaged.passRetained(Context(handle: handle))
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

    /// Delivers what is queued, and `.lost` after it if the kernel had to drop some since the last call.
    func drain() {
        let lostSome = state.withLock { state in
            unsafe ring_buffer__consume(state.ring)
            let lost = unsafe Self.lostEvents(state.skeleton)
            defer { state.lost = lost }
            return lost != state.lost
        }
        if lostSome {
            state.withLock { state in unsafe state.context.takeUnretainedValue() }.handle(.lost)
        }
    }

    @unsafe
    private static func lostEvents(_ skeleton: UnsafeMutablePointer<nid_cgroups_skeleton>) -> UInt64 {
        let counters = try? unsafe DatapathCounters(readingMap: bpf_map__fd(skeleton.pointee.maps.nid_stats))
        return counters?["cgroup_event_lost"] ?? 0
    }
}
