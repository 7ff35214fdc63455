#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Reads files whose size says nothing because the kernel makes them while they are read (`/proc`, cgroups).
package enum FileContents {
    /// The first `limit` bytes of a file; `nil` if it cannot be read, for which `errno` has the reason.
    package static func read(_ path: String, atMost limit: Int = 1 << 20) -> [UInt8]? {
        read([UInt8](path.utf8), atMost: limit)
    }

    /// The same for a path that need not be UTF-8.
    package static func read(_ path: [UInt8], atMost limit: Int = 1 << 20) -> [UInt8]? {
        let name = path.map { CChar(bitPattern: $0) } + [0]
        // A path that leads to a pipe or a device does not block.
        let descriptor = unsafe open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        return readToEnd(descriptor, atMost: limit)
    }

    private static func readToEnd(_ descriptor: CInt, atMost limit: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: min(limit, 64 * 1024))
        while bytes.count < limit {
            let wanted = min(buffer.count, limit - bytes.count)
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe readBytes(descriptor, $0.baseAddress, wanted) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return nil }
            guard count > 0 else { break }
            bytes += buffer.prefix(count)
        }
        return bytes
    }

    @unsafe
    private static func readBytes(_ descriptor: CInt, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int {
        #if canImport(Glibc)
            unsafe Glibc.read(descriptor, buffer, count)
        #else
            unsafe Musl.read(descriptor, buffer, count)
        #endif
    }
}
