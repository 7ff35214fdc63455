import Dispatch
import Glibc

enum Loopback {
    /// A listening socket on a free port of 127.0.0.1.
    static func listen() throws -> (descriptor: CInt, port: UInt16) {
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
        // Whether a connection's request is there when it is accepted would be chance, and so would be the count.
        var seconds: CInt = 10
        unsafe setsockopt(
            descriptor, CInt(IPPROTO_TCP), TCP_DEFER_ACCEPT, &seconds, socklen_t(MemoryLayout<CInt>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let port: UInt16? = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
                guard unsafe bind(descriptor, name, length) == 0, Glibc.listen(descriptor, 128) == 0,
                    unsafe getsockname(descriptor, name, &length) == 0
                else { return nil }
                return unsafe UInt16(bigEndian: pointer.pointee.sin_port)
            }
        }
        guard let port else { throw CostError("cannot listen on loopback: errno \(errno)") }
        return (descriptor, port)
    }
}

enum ChildProcess {
    /// Runs this program again and waits for it to succeed.
    static func run(_ arguments: [String]) async throws {
        var identifier: pid_t = 0
        let program = CommandLine.arguments[0]
        let words = unsafe ([program] + arguments).map { unsafe strdup($0) }
        defer { unsafe words.forEach { unsafe free($0) } }
        let result = unsafe posix_spawn(&identifier, program, nil, nil, words + [nil], [nil])
        guard result == 0 else { throw CostError("cannot run \(program): errno \(result)") }
        // On a thread that may block.
        let status = await withCheckedContinuation { continuation in
            DispatchQueue.global().async { [identifier] in
                var status: CInt = 0
                _ = unsafe waitpid(identifier, &status, 0)
                continuation.resume(returning: status)
            }
        }
        guard status == 0 else { throw CostError("the client failed") }
    }
}
