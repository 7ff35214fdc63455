package import Attribution
import CBPFPrograms
import CLibbpf
import Glibc
import Synchronization

/// The cgroups of both ends of Unix connections, as sockets keep them from their making on (`bpf/level.bpf.c`).
///
/// The program is attached nowhere and runs in the calling thread: no process pays for it, and no process ID takes part.
package final class UnixPeerCgroups: Sendable {
    /// The cgroups of one connection.
    package struct Ends: Sendable, Hashable {
        /// The cgroup of the task that connected, at that moment.
        package let connector: CgroupID
        /// The cgroup of the task that made the socket which was connected.
        package let creator: CgroupID
    }

    /// The program leaves its result in variables: one thread at a time.
    private let program: Mutex<PeerProgram>

    /// Loads the program, which the agent's system call filter forbids once it serves.
    package init() throws(BPFError) {
        program = Mutex(try PeerProgram())
    }

    /// Reads both cgroups of the connection behind an accepted socket.
    ///
    /// - Throws: Why there are none: no Unix socket, none that is connected, or a kernel that does not run the program.
    package func ends(of socket: CInt) throws(BPFError) -> Ends {
        try program.withLock { program throws(BPFError) in try program.run(on: socket) }
    }

    /// Tries the program on a connection of this process's own.
    ///
    /// - Parameter cgroups: Tells this process's cgroup, which both ends must have.
    /// - Throws: Why the kernel does not tell.
    package func verify(by cgroups: CgroupFileSystem) throws(BPFError) {
        guard let own = cgroups.ownPath().flatMap({ cgroups.id(of: $0) }) else {
            throw BPFError(
                "find this process's cgroup", hint: "it is not below \(cgroups.mountPoint); set cgroup.mount-point")
        }
        var pair: (CInt, CInt) = (-1, -1)
        let result = unsafe withUnsafeMutableBytes(of: &pair) { buffer in
            unsafe socketpair(
                AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0,
                buffer.bindMemory(to: CInt.self).baseAddress)
        }
        guard result == 0 else { throw BPFError("make a pair of Unix sockets", errorNumber: errno) }
        defer {
            close(pair.0)
            close(pair.1)
        }
        let ends = try ends(of: pair.0)
        guard ends == Ends(connector: own, creator: own) else {
            throw BPFError(
                "read the cgroups of a Unix connection", hint: "both ends of this process's own are not in its cgroup")
        }
    }
}

/// The loaded program, with the variables that hold its result.
@safe
private struct PeerProgram: ~Copyable {
    private let skeleton: Skeleton<nid_level_skeleton>

    init() throws(BPFError) {
        unsafe skeleton = try LevelProgram.load("Unix peers")
    }

    func run(on socket: CInt) throws(BPFError) -> UnixPeerCgroups.Ends {
        let operation = "read the cgroups of a Unix connection"
        return try unsafe skeleton.withLayout { layout throws(BPFError) in
            var argument = UInt64(UInt32(bitPattern: socket))
            var options = unsafe bpf_test_run_opts()
            unsafe options.sz = MemoryLayout<bpf_test_run_opts>.size
            unsafe options.ctx_size_in = UInt32(MemoryLayout<UInt64>.size)
            let program = unsafe bpf_program__fd(layout.pointee.progs.nid_peer)
            let result = unsafe withUnsafeMutablePointer(to: &argument) { context in
                unsafe options.ctx_in = UnsafeRawPointer(context)
                return unsafe bpf_prog_test_run_opts(program, &options)
            }
            try check(result, operation)
            let number = unsafe CInt(bitPattern: options.retval)
            guard number == 0, let variables = unsafe layout.pointee.bss else {
                throw BPFError(operation, errorNumber: -number)
            }
            let ends = unsafe UnixPeerCgroups.Ends(
                connector: CgroupID(rawValue: variables.pointee.nid_connector_cgroup),
                creator: CgroupID(rawValue: variables.pointee.nid_creator_cgroup))
            guard ends.connector.rawValue != 0, ends.creator.rawValue != 0 else {
                throw BPFError(operation, errorNumber: ENOENT)
            }
            return ends
        }
    }
}
