import Glibc
package import Logging
import MetadataProtocol

/// The key of the session tokens: in a file beside the admin socket, so that the agent that follows in a restart or an
/// upgrade accepts the tokens that pods hold.
///
/// The directory is the node's and root's, and lives in memory: the key ends with the machine's uptime, as the tokens do.
/// No pod sees it that does not mount the directory, which would make it root on the node in other ways.
package enum SessionTokenKey {
    /// The key in the file, which is made if it is missing. Where that fails the tokens are this process's own.
    package static func load(besideSocket socket: String, logger: Logger) -> [UInt8] {
        let directory = socket.lastIndex(of: "/").map { String(socket[..<$0]) } ?? "."
        let path = directory + "/session-token.key"
        if let key = read(path) { return key }
        let key = SessionTokens.makeKey()
        guard write(key, to: path) else {
            logger.warning(
                "session tokens of AWS's protocol will not outlive this agent: their key cannot be written",
                metadata: ["path": "\(path)"])
            return key
        }
        return key
    }

    private static let length = 32

    /// `nil`: there is none, or it is not a file of root's alone.
    private static func read(_ path: String) -> [UInt8]? {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_mode & 0o077 == 0,
            status.st_uid == geteuid()
        else { return nil }
        var bytes = [UInt8](repeating: 0, count: length + 1)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
        return count == length ? Array(bytes.prefix(length)) : nil
    }

    /// Writes it whole or not at all: a name is given to the file once it is complete.
    private static func write(_ key: [UInt8], to path: String) -> Bool {
        let draft = "\(path).\(getpid())"
        _ = unsafe unlink(draft)
        let descriptor = unsafe open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { return false }
        let count = unsafe key.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
        close(descriptor)
        // Agents of a node start one after the other: the first has made the key when the second looks for it.
        if unsafe count == key.count && rename(draft, path) == 0 { return true }
        _ = unsafe unlink(draft)
        return false
    }
}
