#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Reads a file that an operator names: a regular one, which can be read again.
package enum RegularFile {
    /// The reason why a file was not read, for a sentence that begins with its path.
    package struct Problem: Error, Sendable, Equatable, CustomStringConvertible {
        package let description: String
    }

    /// The whole of the file at `path`.
    ///
    /// - Parameters:
    ///   - path: The file. Symbolic links are followed.
    ///   - limit: The most bytes that it may have.
    /// - Throws: What is wrong with it.
    /// - Returns: Its bytes.
    package static func read(_ path: String, atMost limit: Int) throws(Problem) -> [UInt8] {
        var status = stat()
        // Checked before it is opened: opening has effects on some devices, and a pipe can be read only once.
        guard unsafe stat(path, &status) == 0 else { throw failure(errno) }
        if let kind = kind(status.st_mode) {
            throw Problem(description: "is \(kind), and a regular file is wanted, which can be read again")
        }
        guard let bytes = FileContents.read(path, atMost: limit + 1) else { throw failure(errno) }
        guard bytes.count <= limit else { throw Problem(description: "has more than \(limit) bytes") }
        return bytes
    }

    private static func failure(_ number: CInt) -> Problem {
        number == ENOENT
            ? Problem(description: "does not exist") : Problem(description: "cannot be read: \(errorText(number))")
    }

    /// The kind of a file that is not regular; `nil` for a regular one.
    private static func kind(_ mode: mode_t) -> String? {
        switch mode & S_IFMT {
        case S_IFREG: nil
        case S_IFDIR: "a directory"
        case S_IFIFO: "a pipe"
        case S_IFSOCK: "a socket"
        case S_IFCHR, S_IFBLK: "a device"
        default: "something else"
        }
    }
}
