import CLibbpf
import Glibc

/// The reading end of one of the kernel's ring buffers.
@safe
struct RingBuffer: ~Copyable {
    private let ring: OpaquePointer
    /// The receiver that libbpf's context pointer owns; released with the ring.
    private let receiver: Unmanaged<Receiver>

    @safe
    private final class Receiver: Sendable {
        let receive: @Sendable (UnsafeRawBufferPointer) -> Void

        init(_ receive: @escaping @Sendable (UnsafeRawBufferPointer) -> Void) {
            unsafe self.receive = receive
        }
    }

    /// Opens the ring buffer of the map behind `map`.
    ///
    /// - Parameters:
    ///   - map: The map's descriptor.
    ///   - records: What the records are, for errors.
    ///   - receive: Gets each record, on the thread that calls ``consume()``. Shorter ones are dropped.
    /// - Throws: What the kernel said.
    init<Record: BitwiseCopyable & Sendable>(
        _ map: CInt, of records: String, receive: @escaping @Sendable (Record) -> Void
    ) throws(BPFError) {
        let receiver = unsafe Unmanaged.passRetained(
            Receiver { bytes in
                guard bytes.count >= MemoryLayout<Record>.size else { return }
                receive(unsafe bytes.loadUnaligned(as: Record.self))
            })
        let opened = unsafe ring_buffer__new(
            map,
            { context, data, size in
                guard let context = unsafe context, let data = unsafe data else { return 0 }
                let bytes = unsafe UnsafeRawBufferPointer(start: data, count: Int(size))
                unsafe Unmanaged<Receiver>.fromOpaque(context).takeUnretainedValue().receive(bytes)
                return 0
            }, receiver.toOpaque(), nil
        )
        guard let ring = unsafe opened else {
            let number = errno
            unsafe receiver.release()
            throw BPFError("open the ring buffer of \(records)", errorNumber: number)
        }
        unsafe self.ring = ring
        unsafe self.receiver = receiver
    }

    deinit {
        unsafe ring_buffer__free(ring)
        unsafe receiver.release()
    }

    /// The descriptor that is readable when there are records.
    var descriptor: CInt { unsafe ring_buffer__epoll_fd(ring) }

    /// Delivers what is queued.
    func consume() {
        _ = unsafe ring_buffer__consume(ring)
    }
}
