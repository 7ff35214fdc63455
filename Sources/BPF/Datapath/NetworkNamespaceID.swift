import CBPFPrograms
import CLibbpf
import Glibc

/// A network namespace, as the kernel numbers it.
package struct NetworkNamespaceID: Sendable, Hashable {
    /// The kernel's cookie, never given twice since the machine has started.
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
    ///
    /// - Throws: What the kernel said; or, before Linux 5.12, that no program has asked for the cookie yet.
    package static func current() throws(BPFError) -> NetworkNamespaceID {
        var status = stat()
        guard unsafe stat("/proc/thread-self/ns/net", &status) == 0 else {
            throw BPFError("read /proc/thread-self/ns/net", errorNumber: errno)
        }
        var cookie = try cookieBySocket()
        if cookie == nil { cookie = try cookieByProgram() }
        guard let cookie, cookie != 0 else {
            throw BPFError(
                "read the cookie of a network namespace",
                hint: "the kernel has given it none yet; Linux 5.12 gives each one when it is made")
        }
        return NetworkNamespaceID(cookie: cookie, inode: UInt32(truncatingIfNeeded: status.st_ino))
    }

    /// `nil`: the kernel is older than 5.14.
    private static func cookieBySocket() throws(BPFError) -> UInt64? {
        let socket = try FileDescriptor(
            owning: socket(AF_INET, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0), "make a socket")
        var cookie: UInt64 = 0
        var length = socklen_t(MemoryLayout<UInt64>.size)
        if unsafe getsockopt(socket.rawValue, SOL_SOCKET, cookieOption, &cookie, &length) == 0 { return cookie }
        guard errno == ENOPROTOOPT else {
            throw BPFError("read the cookie of a network namespace", errorNumber: errno)
        }
        return nil
    }

    /// The cookie of the calling thread's namespace, as a kernel program reads it (`bpf/level.bpf.c`); 0: it has none yet.
    package static func cookieByProgram() throws(BPFError) -> UInt64 {
        try unsafe LevelProgram.load("namespace cookie").withLayout { layout throws(BPFError) in
            var options = unsafe bpf_test_run_opts()
            unsafe options.sz = MemoryLayout<bpf_test_run_opts>.size
            let program = unsafe bpf_program__fd(layout.pointee.progs.nid_namespace)
            try check(unsafe bpf_prog_test_run_opts(program, &options), "run the namespace cookie program")
            return unsafe layout.pointee.bss?.pointee.nid_own_cookie ?? 0
        }
    }
}

extension Datapath {
    /// The network namespace of the calling thread, whose process is below the hooks.
    ///
    /// Linux before 5.12 gives a namespace its cookie when a program first asks for it. The bind hooks ask whenever one
    /// of the agent's ports is named, whatever becomes of the bind.
    package func ownNamespace() throws(BPFError) -> NetworkNamespaceID {
        if let own = try? NetworkNamespaceID.current() { return own }
        let socket = try FileDescriptor(
            owning: socket(AF_INET, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0), "make a socket")
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = configuration.listenPorts.upperBound.bigEndian
        name.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        unsafe withUnsafePointer(to: &name) { name in
            _ = unsafe name.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(socket.rawValue, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        return try .current()
    }
}
