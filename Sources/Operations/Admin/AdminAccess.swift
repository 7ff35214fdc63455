import Linux
import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The processes that may reach the admin socket, whatever becomes of its mode.
enum AdminAccess {
    /// Makes the socket's directory, mode 0700 (0755 if it is public), or checks the one that is there: ours or root's,
    /// and no other user may put anything into it, so that no other socket can take the place of ours.
    static func prepareDirectory(of path: String, isPublic: Bool = false) throws(AdminServerError) {
        let directory = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
        guard !directory.isEmpty else { return }
        if unsafe mkdir(directory, 0o700) != 0 {
            guard errno == EEXIST else { throw AdminServerError(path, "cannot make its directory: errno \(errno)") }
        } else if isPublic, unsafe chmod(directory, 0o755) != 0 {
            // Whatever the mask of the process is.
            throw AdminServerError(path, "cannot open its directory to others: errno \(errno)")
        }
        var status = stat()
        guard unsafe stat(directory, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw AdminServerError(path, "\(directory) is no directory")
        }
        guard status.st_uid == geteuid() || status.st_uid == 0, status.st_mode & (S_IWGRP | S_IWOTH) == 0 else {
            throw AdminServerError(
                path, "others may write to \(directory); give the socket a directory of its own, mode 0700"
            )
        }
    }

    /// Refuses a peer that is neither root nor the agent's own user (`SO_PEERCRED`, `unix(7)`).
    static func checkPeer(of channel: any Channel) throws {
        let user = try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
            PeerCredentials(of: $0)?.userID
        }
        guard case .some(.some(let user)) = user, user == 0 || user == geteuid() else { throw PeerRefused() }
    }

    private struct PeerRefused: Error {}
}
