import CLibbpf
import Glibc
import Linux
import Synchronization

/// A thread of its own that calls `handle` whenever a descriptor is readable.
///
/// Waiting for the kernel blocks, and nothing that blocks belongs on an event loop or on Swift's cooperative pool.
/// While nothing happens the thread sleeps; it has a timer only while `handle` asks for it.
final class PollThread: Sendable {
    /// How soon `handle` is called again that has asked for it, in milliseconds.
    static let retryInterval: CInt = 1

    private let wakeUp: FileDescriptor
    private let thread: Mutex<OwnThread?>

    private struct Work: Sendable {
        let name: String
        let descriptor: CInt
        let wakeUp: CInt
        let handle: @Sendable () -> Bool

        func run() {
            unsafe nid_name_thread(name)
            var isWaiting = false
            while true {
                var polled = [
                    pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
                    pollfd(fd: wakeUp, events: Int16(POLLIN), revents: 0),
                ]
                let ready = unsafe poll(&polled, nfds_t(polled.count), isWaiting ? retryInterval : -1)
                if ready < 0, errno != EINTR { return }
                if polled[1].revents != 0 { return }
                if polled[0].revents != 0 || isWaiting { isWaiting = handle() }
            }
        }
    }

    /// Starts the thread. `descriptor` must stay open until ``stop()`` returns. `handle` returns whether it wants to be
    /// called again soon, readable or not.
    init(name: String, descriptor: CInt, handle: @escaping @Sendable () -> Bool) throws(BPFError) {
        let wakeUp = try FileDescriptor(owning: eventfd(0, CInt(EFD_CLOEXEC)), "make an eventfd")
        let work = Work(name: name, descriptor: descriptor, wakeUp: wakeUp.rawValue, handle: handle)
        do throws(SystemError) {
            thread = Mutex(try OwnThread { work.run() })
        } catch {
            throw BPFError("start the thread \(name)", errorNumber: error.number)
        }
        self.wakeUp = wakeUp
    }

    /// Ends the thread and waits for it. Later calls do nothing.
    func stop() {
        let running = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        guard let running else { return }
        var one: UInt64 = 1
        unsafe write(wakeUp.rawValue, &one, MemoryLayout<UInt64>.size)
        running.join()
    }

    deinit {
        stop()
    }
}
