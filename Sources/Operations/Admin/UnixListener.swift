import NIOCore
package import NIOPosix

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A Unix socket that only its owner may open, unless it is public. It takes the place of whatever had its path,
/// without a moment at which no process listens there.
package struct UnixListener: Sendable {
    /// The longest path of a socket: `sun_path` without the zero at its end (unix(7)).
    package static let pathBytesMax = 107
    /// The longest name under which a socket is bound before it is renamed.
    package static let longestTemporaryName = temporaryName(.max)

    package let path: String
    private let channel: any Channel
    private let device: UInt64
    private let inode: UInt64

    /// Binds beside `path`, sets the mode, and renames.
    ///
    /// - Parameters:
    ///   - path: Where to listen; the directory is made, or checked (see ``AdminAccess``).
    ///   - isPublic: Whether everybody may connect: mode 0666 in a directory of 0755.
    ///   - bootstrap: What becomes of a connection.
    /// - Throws: What cannot be done, with the path.
    /// - Returns: The listening socket.
    package static func open(
        at path: String, isPublic: Bool = false, _ bootstrap: ServerBootstrap
    ) async throws(AdminServerError) -> UnixListener {
        try AdminAccess.prepareDirectory(of: path, isPublic: isPublic)
        var info = stat()
        if unsafe lstat(path, &info) == 0, info.st_mode & S_IFMT != S_IFSOCK {
            throw AdminServerError(path, "something that is no socket is in its place; remove it")
        }
        let directory = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
        // A name that no other process uses, for a listener that closes removes the path that it was bound to. Not
        // longer than most names: see ``pathBytesMax``.
        let temporary = directory + "/" + temporaryName(UInt32.random(in: 0...UInt32.max))
        let channel: any Channel
        do {
            channel = try await bootstrap.bind(unixDomainSocketPath: temporary, cleanupExistingSocketFile: true).get()
        } catch {
            var failure = AdminServerError(path, "cannot listen: \(error)")
            failure.isOutOfSpace = [ENOSPC, EDQUOT].contains((error as? IOError)?.errnoCode)
            throw failure
        }
        guard unsafe chmod(temporary, isPublic ? 0o666 : 0o600) == 0, unsafe stat(temporary, &info) == 0,
            unsafe rename(temporary, path) == 0
        else {
            let number = errno
            try? await channel.close().get()
            unsafe unlink(temporary)
            throw AdminServerError(path, "cannot set its mode: errno \(number)")
        }
        return UnixListener(path: path, channel: channel, device: UInt64(info.st_dev), inode: UInt64(info.st_ino))
    }

    private static func temporaryName(_ number: UInt32) -> String { "." + String(number, radix: 36) }

    /// Closes the socket, and removes its file unless a successor has put its own there.
    package func close() async {
        try? await channel.close().get()
        var info = stat()
        if unsafe stat(path, &info) == 0, UInt64(info.st_dev) == device, UInt64(info.st_ino) == inode {
            unsafe unlink(path)
        }
    }
}
