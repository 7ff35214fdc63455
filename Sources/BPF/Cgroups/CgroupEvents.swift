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
    /// Whether ``CgroupEvent/emptied(_:)`` is among them, and ``CgroupEvent/lost`` follows where one was lost.
    var reportsEnds: Bool { get }
    /// Ends the events, and detaches what brings them; none is delivered after it returns.
    func stop()
}

/// Events from the raw tracepoints `cgroup_mkdir` and `cgroup_rmdir`, through a BPF ring buffer.
///
/// The programs are not pinned: an agent that is away misses nothing that its start-up walk would not find.
package final class TracepointCgroupEvents: CgroupEventSource {
    package let mechanism = "tracepoints"
    package let reportsEnds = true
    private let thread: PollThread
    /// `nil` once it has stopped. Programs that stayed attached would fill a queue that no process empties. They would then count
    /// every event as lost, in counters that all agents of the pin directory share, and a successor would look for it.
    private let queue: Mutex<RingQueue?>

    /// Attaches the tracepoints and delivers events to `handle` on a thread of their own. A cgroup is reported once
    /// `cgroups` finds it by its ID.
    ///
    /// Needs BTF (`/sys/kernel/btf/vmlinux`); where that is missing, use ``InotifyCgroupEvents``.
    package init(
        pinDirectory: PinDirectory, cgroups: CgroupFileSystem, handle: @escaping @Sendable (CgroupEvent) -> Void
    ) throws(BPFError) {
        let queue = try RingQueue(pinDirectory: pinDirectory, cgroups: cgroups, handle: handle)
        self.thread = try PollThread(name: "cgroup-events", descriptor: queue.descriptor) {
            queue.drain()
        }
        self.queue = Mutex(queue)
    }

    package func stop() {
        thread.stop()
        queue.withLock { $0 = nil }
    }
}

/// The ring buffer and the programs that fill it.
private final class RingQueue: Sendable {
    private let state: Mutex<State>
    private let context: Context
    /// The descriptor that is readable when there are events.
    let descriptor: CInt

    @safe
    private struct State: ~Copyable {
        let ring: RingBuffer
        let counters: PerProcessorMap<UInt32>
        let skeleton: Skeleton<nid_cgroups_skeleton>
        var lost: UInt64
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
        let context = Context(cgroups: cgroups, handle: handle)
        self.context = context
        let skeleton = try unsafe Self.attach(pinDirectory)
        let (events, counters) = try unsafe skeleton.withLayout { layout throws(BPFError) in
            (
                unsafe bpf_map__fd(layout.pointee.maps.nid_cgroup_events),
                try unsafe PerProcessorMap<UInt32>(layout.pointee.maps.nid_stats)
            )
        }
        let ring = try RingBuffer(events, of: "cgroup events") { (event: nid_cgroup_event) in context.deliver(event) }
        self.descriptor = ring.descriptor
        self.state = unsafe Mutex(
            State(ring: ring, counters: counters, skeleton: skeleton, lost: Self.lostEvents(counters)))
    }

    private static func attach(_ pins: PinDirectory) throws(BPFError) -> Skeleton<nid_cgroups_skeleton> {
        let skeleton = try unsafe Skeleton(
            "cgroup event",
            .init(
                open: nid_cgroups_skeleton__open_opts, load: nid_cgroups_skeleton__load,
                destroy: nid_cgroups_skeleton__destroy),
            pins: pins)
        try unsafe skeleton.withLayout { layout throws(BPFError) in
            try check(unsafe nid_cgroups_skeleton__attach(layout), "attach to the cgroup tracepoints")
        }
        return unsafe skeleton
    }

    /// Delivers what is queued, and `.lost` after it if the kernel had to drop some since the last call. `true` if some
    /// of it cannot be delivered yet.
    func drain() -> Bool {
        let lostSome = state.withLock { state in
            state.ring.consume()
            let lost = Self.lostEvents(state.counters)
            defer { state.lost = lost }
            return lost != state.lost
        }
        if lostSome { context.handle(.lost) }
        return context.deliverUnfinished()
    }

    private static func lostEvents(_ counters: PerProcessorMap<UInt32>) -> UInt64 {
        (try? DatapathCounters(reading: counters))?["cgroup_event_lost"] ?? 0
    }
}
