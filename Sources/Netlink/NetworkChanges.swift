import Glibc

/// Notices that interfaces or addresses of a network namespace have changed: the namespace of the thread that made this
/// value.
///
/// The kernel reports each change, and tells when it had to drop reports. To ask whether there was one is a single system
/// call, where a list of a node's interfaces is a kilobyte for each pod.
package struct NetworkChanges: ~Copyable, Sendable {
    private let descriptor: CInt

    // linux/netlink.h, linux/rtnetlink.h.
    private static let netlinkFamily: CInt = 16
    private static let route: CInt = 0
    /// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV6_IFADDR`.
    private static let groups: UInt32 = 0x1 | 0x10 | 0x100
    /// More reports than the kernel keeps for a socket.
    private static let reportsMax = 4096

    /// Begins to receive reports. What is listed after this, and no report follows, is how it still is.
    package init() throws(NetlinkError) {
        descriptor = socket(Self.netlinkFamily, CInt(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), Self.route)
        guard descriptor >= 0 else {
            throw NetlinkError("open a netlink socket for changes of the network", errorNumber: errno)
        }
        // struct sockaddr_nl: family, padding, port (0: the kernel chooses one), groups.
        var name: [UInt8] = []
        name.append(host: UInt16(Self.netlinkFamily))
        name.append(host: UInt16(0))
        name.append(host: UInt32(0))
        name.append(host: Self.groups)
        let result = unsafe name.withUnsafeBytes { buffer in
            guard let start = buffer.baseAddress else { return CInt(-1) }
            return unsafe bind(
                descriptor, start.assumingMemoryBound(to: sockaddr.self), socklen_t(buffer.count))
        }
        guard result == 0 else {
            let number = errno
            close(descriptor)
            throw NetlinkError("receive changes of the network", errorNumber: number)
        }
    }

    deinit {
        close(descriptor)
    }

    /// Whether anything was reported since this was last asked, or could not be.
    package func take() -> Bool {
        var hasChanged = false
        for _ in 0..<Self.reportsMax {
            // A report is not read: what it says is in the next list.
            var byte: UInt8 = 0
            if unsafe recv(descriptor, &byte, 1, CInt(MSG_DONTWAIT | MSG_TRUNC)) < 0 {
                if errno == EAGAIN { return hasChanged }
                if errno == EINTR { continue }
                // ENOBUFS: reports were dropped, and those that were kept follow.
                guard errno == ENOBUFS else { return true }
            }
            hasChanged = true
        }
        return true
    }
}
