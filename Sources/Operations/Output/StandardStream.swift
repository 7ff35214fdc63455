#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Standard output or standard error, written without a buffer: what a watch prints is there at once.
package enum StandardStream: CInt, Sendable {
    case output = 1
    case error = 2

    /// Writes a text. A reader that has gone wants no more: errors count for nothing.
    package func write(_ text: String) { write(Array(text.utf8)) }

    package func write(_ bytes: [UInt8]) { Self.write(bytes, to: rawValue) }

    /// Writes all bytes to any descriptor.
    /// - Returns: Whether they could be written; if not, `errno` says why.
    @discardableResult
    package static func write(_ bytes: [UInt8], to descriptor: CInt) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe systemWrite(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}

/// write(2), which the methods of ``StandardStream`` hide.
@unsafe
private func systemWrite(_ descriptor: CInt, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
    unsafe write(descriptor, bytes, count)
}
