package import Attribution
import CBPFPrograms
import CLibbpf
import Glibc
import Synchronization

/// A process of a pod is, or connects, in a network namespace in which the agent does not listen.
package struct NamespaceEvent: Sendable, Hashable {
    package enum Reason: Sendable, Hashable {
        /// A process of the pod was executed there.
        case exec
        /// A process of the pod was made there, or a process that is there came into the pod.
        case enter
        /// A connection was redirected, and there is no listener.
        case connect
        /// A connection still waits.
        case held
        /// A process of the pod runs there: found by ``NamespaceEvents/walk()``.
        case walk
    }

    package var namespace: NetworkNamespaceID
    /// The ID in the PID namespace of ``Datapath/setNode(_:agentCgroup:processNamespace:)``; 0: not visible there.
    package var process: Int32
    /// The pod-level cgroup.
    package var pod: CgroupID
    /// The process's own.
    package var cgroup: CgroupID
    package var reason: Reason

    init?(_ event: nid_namespace_event) {
        switch event.reason {
        case NID_NAMESPACE_EXEC.rawValue: reason = .exec
        case NID_NAMESPACE_ENTER.rawValue: reason = .enter
        case NID_NAMESPACE_CONNECT.rawValue: reason = .connect
        case NID_NAMESPACE_HELD.rawValue: reason = .held
        case NID_NAMESPACE_WALK.rawValue: reason = .walk
        default: return nil
        }
        namespace = NetworkNamespaceID(cookie: event.netns_cookie, inode: event.netns_inode)
        process = Int32(bitPattern: event.pid)
        pod = CgroupID(rawValue: event.pod)
        cgroup = CgroupID(rawValue: event.leaf)
    }
}

/// The events of one ``Datapath``'s programs, and hooks of its own that see where pods' processes come from and go to.
///
/// The hooks are not pinned: an agent that starts finds what runs by ``walk()``.
package final class NamespaceEvents: Sendable {
    private let queue: NamespaceQueue
    private let thread: PollThread

    /// Delivers events to `handle`, on a thread of their own.
    package init(
        _ datapath: Datapath, handle: @escaping @Sendable (NamespaceEvent) -> Void
    ) throws(BPFError) {
        let queue = try NamespaceQueue(
            pins: datapath.pins, ring: datapath.skeletons.withLock { $0.namespaces }, handle: handle)
        self.queue = queue
        thread = try PollThread(name: "ns-events", descriptor: queue.descriptor) {
            queue.drain()
            return false
        }
    }

    /// One event for each pod and namespace in which a process runs at this moment. Looks at every task of the node.
    package func walk() throws(BPFError) -> [NamespaceEvent] {
        try queue.walk()
    }

    /// Ends the events; none is delivered after it returns.
    package func stop() {
        thread.stop()
    }
}

/// The ring buffer and the programs that find namespaces.
private final class NamespaceQueue: Sendable {
    private let state: Mutex<State>
    /// The descriptor that is readable when there are events.
    let descriptor: CInt

    @safe
    private struct State: ~Copyable {
        let ring: RingBuffer
        let skeleton: Skeleton<nid_namespaces_skeleton>
    }

    init(
        pins: PinDirectory, ring: CInt, handle: @escaping @Sendable (NamespaceEvent) -> Void
    ) throws(BPFError) {
        let skeleton = try unsafe Self.attach(pins, queue: ring)
        let buffer = try RingBuffer(ring, of: "namespaces' events") { (event: nid_namespace_event) in
            if let event = NamespaceEvent(event) { handle(event) }
        }
        self.descriptor = buffer.descriptor
        self.state = unsafe Mutex(State(ring: buffer, skeleton: skeleton))
    }

    private static func attach(_ pins: PinDirectory, queue: CInt) throws(BPFError) -> Skeleton<nid_namespaces_skeleton>
    {
        let skeleton = try unsafe Skeleton(
            "namespace",
            .init(
                open: nid_namespaces_skeleton__open_opts, load: nid_namespaces_skeleton__load,
                destroy: nid_namespaces_skeleton__destroy),
            pins: pins
        ) { layout throws(BPFError) in
            try check(
                unsafe bpf_map__reuse_fd(layout.pointee.maps.nid_namespaces, queue),
                "share the queue of namespaces' events")
        }
        try unsafe skeleton.withLayout { layout throws(BPFError) in try unsafe attach(layout) }
        return unsafe skeleton
    }

    private static func attach(_ skeleton: UnsafeMutablePointer<nid_namespaces_skeleton>) throws(BPFError) {
        unsafe skeleton.pointee.links.nid_exec = try attach(skeleton.pointee.progs.nid_exec, to: "executions")
        unsafe skeleton.pointee.links.nid_clone = try attach(skeleton.pointee.progs.nid_clone, to: "new processes")
        unsafe skeleton.pointee.links.nid_attach = try attach(
            skeleton.pointee.progs.nid_attach, to: "changes of cgroup")
    }

    private static func attach(_ program: OpaquePointer?, to events: String) throws(BPFError) -> OpaquePointer {
        guard let link = unsafe bpf_program__attach(program) else {
            throw BPFError("attach to the tracepoint of \(events)", errorNumber: errno)
        }
        return unsafe link
    }

    /// Identifies events that say the same: one of them is enough.
    private struct Place: Hashable {
        let pod: CgroupID
        let namespace: NetworkNamespaceID

        init(_ event: NamespaceEvent) {
            pod = event.pod
            namespace = event.namespace
        }
    }

    func drain() {
        state.withLock { $0.ring.consume() }
    }

    private static func openIterator(_ skeleton: borrowing Skeleton<nid_namespaces_skeleton>) throws(BPFError) -> CInt {
        try unsafe skeleton.withLayout { layout throws(BPFError) in
            guard let link = unsafe bpf_program__attach_iter(layout.pointee.progs.nid_walk, nil) else {
                throw BPFError("attach to the iterator of tasks", errorNumber: errno)
            }
            defer { unsafe bpf_link__destroy(link) }
            return unsafe bpf_iter_create(bpf_link__fd(link))
        }
    }

    func walk() throws(BPFError) -> [NamespaceEvent] {
        let iterator = try FileDescriptor(
            owning: state.withLock { state throws(BPFError) in try unsafe Self.openIterator(state.skeleton) },
            "iterate over the tasks")
        // In the order of the kernel's, which is that of process IDs: a pod's first process, whose namespace is the pod's own,
        // comes before those that it started.
        var found: [NamespaceEvent] = []
        var places: Set<Place> = []
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        let size = MemoryLayout<nid_namespace_event>.size
        while true {
            let count = unsafe read(iterator.rawValue, &buffer, buffer.count)
            if count < 0, errno == EINTR || errno == EAGAIN { continue }
            guard count >= 0 else { throw BPFError("read the iterator of tasks", errorNumber: errno) }
            if count == 0 { return found }
            bytes += buffer.prefix(count)
            let whole = bytes.count / size
            for index in 0..<whole {
                let event = unsafe bytes.withUnsafeBytes {
                    unsafe $0.loadUnaligned(fromByteOffset: index * size, as: nid_namespace_event.self)
                }
                guard let event = NamespaceEvent(event), places.insert(Place(event)).inserted else { continue }
                found.append(event)
            }
            bytes.removeFirst(whole * size)
        }
    }
}
