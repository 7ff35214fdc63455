import CLibbpf
import Glibc

/// A network namespace, as the kernel numbers it.
package struct NetworkNamespaceID: Sendable, Hashable {
    /// Never given twice since the machine has started.
    package var cookie: UInt64
    /// The number of its file (`stat /proc/PID/ns/net`). Given again once the namespace is gone.
    package var inode: UInt32

    package init(cookie: UInt64, inode: UInt32) {
        self.cookie = cookie
        self.inode = inode
    }

    /// `SO_NETNS_COOKIE` (Linux 5.14).
    private static let cookieOption: CInt = 71

    /// The namespace of the calling thread.
    package static func current() throws(BPFError) -> NetworkNamespaceID {
        var status = stat()
        guard unsafe stat("/proc/thread-self/ns/net", &status) == 0 else {
            throw BPFError("read /proc/thread-self/ns/net", errorNumber: errno)
        }
        let socket = try FileDescriptor(
            owning: socket(AF_INET, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0), "make a socket")
        var cookie: UInt64 = 0
        var length = socklen_t(MemoryLayout<UInt64>.size)
        guard unsafe getsockopt(socket.rawValue, SOL_SOCKET, cookieOption, &cookie, &length) == 0 else {
            throw BPFError("read the cookie of a network namespace", errorNumber: errno)
        }
        return NetworkNamespaceID(cookie: cookie, inode: UInt32(truncatingIfNeeded: status.st_ino))
    }
}
