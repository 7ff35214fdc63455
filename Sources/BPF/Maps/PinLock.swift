import CLibbpf
import Glibc
import Synchronization

/// The right to be the agent of a pin directory: one process holds it, and its end, however it comes, gives it up.
///
/// The lock is an flock(2) on the directory itself, so that agents with other run directories, or in other containers,
/// meet it.
package final class PinLock: Sendable {
    private let pins: PinDirectory
    private let descriptor: Mutex<CInt>

    /// Opens the lock without taking it. Makes the directory, if need be.
    package init(_ pins: PinDirectory) throws(BPFError) {
        try pins.prepare()
        let descriptor = Self.open(pins)
        guard descriptor >= 0 else { throw BPFError("open \(pins.path)", errorNumber: errno) }
        self.pins = pins
        self.descriptor = Mutex(descriptor)
    }

    /// The same for a directory that may not exist: `nil` if it does not.
    package init?(existing pins: PinDirectory) {
        let descriptor = Self.open(pins)
        guard descriptor >= 0 else { return nil }
        self.pins = pins
        self.descriptor = Mutex(descriptor)
    }

    deinit {
        _ = descriptor.withLock { close($0) }
    }

    /// Takes the lock, unless another process holds it.
    ///
    /// - Returns: Whether it is this process's now.
    /// - Throws: When the directory can be made and opened no more.
    package func tryAcquire() throws(BPFError) -> Bool {
        // A directory that was removed before it was locked protects nothing: the process that removes one holds its
        // lock.
        for _ in 0..<8 {
            guard descriptor.withLock({ flock($0, LOCK_EX | LOCK_NB) }) == 0 else { return false }
            if isCurrent { return true }
            try pins.prepare()
            let fresh = Self.open(pins)
            guard fresh >= 0 else { throw BPFError("open \(pins.path)", errorNumber: errno) }
            descriptor.withLock { descriptor in
                close(descriptor)
                descriptor = fresh
            }
        }
        return false
    }

    /// Gives the lock up. Does nothing if it is not held.
    package func release() {
        _ = descriptor.withLock { flock($0, LOCK_UN) }
    }

    /// Blocks the calling thread until no other process holds the lock, and takes it.
    package func acquireBlocking() {
        // Not under the mutex, which the others need meanwhile; the descriptor stays open as long as this object.
        let descriptor = self.descriptor.withLock { $0 }
        while flock(descriptor, LOCK_EX) != 0, errno == EINTR {}
    }

    /// The process that holds the lock, if this process may know it: not if it is in another PID namespace.
    package var holder: Int32? {
        var info = stat()
        guard unsafe fstat(descriptor.withLock { $0 }, &info) == 0 else { return nil }
        return LockTable.holder(device: info.st_dev, inode: info.st_ino)
    }

    private var isCurrent: Bool {
        var held = stat()
        var named = stat()
        return unsafe fstat(descriptor.withLock { $0 }, &held) == 0 && stat(pins.path, &named) == 0
            && held.st_ino == named.st_ino && held.st_dev == named.st_dev
    }

    private static func open(_ pins: PinDirectory) -> CInt {
        unsafe Glibc.open(pins.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    }
}

/// A proof that a process sees the pin directory: a descriptor of the file `lock` in it.
///
/// The file is a symbolic link without a target, and the descriptor is one of `O_PATH`: a process that gets it can
/// compare it, and can neither read, change nor leave it for the directory's other files.
extension PinLock {
    /// Opens the proof.
    ///
    /// - Returns: A descriptor, which is the caller's to close.
    /// - Throws: What the kernel said.
    package func openProof() throws(BPFError) -> CInt {
        let descriptor = unsafe Glibc.open(pins.lockFile, CInt(NID_O_PATH) | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { throw BPFError("open \(pins.lockFile)", errorNumber: errno) }
        return descriptor
    }

    /// Whether a peer's descriptor is of the same file as this process's proof.
    package func isProven(by descriptor: CInt) -> Bool {
        guard let own = try? openProof() else { return false }
        defer { close(own) }
        return isSameFile(own, descriptor)
    }
}

/// Whether two descriptors are of the same file: device and inode are equal.
private func isSameFile(_ one: CInt, _ other: CInt) -> Bool {
    var (first, second) = (stat(), stat())
    return unsafe fstat(one, &first) == 0 && fstat(other, &second) == 0 && first.st_dev == second.st_dev
        && first.st_ino == second.st_ino
}

/// The proof for what only the holder of the lock may get to see or to give: a descriptor of the pin directory itself.
///
/// The proof is shown to the holder of the lock alone. A process that does not see the directory never gets one, not even
/// while it poses as an agent.
extension PinLock {
    /// Opens the proof, for the holder alone.
    ///
    /// - Parameter process: The process that it is to be shown to.
    /// - Returns: A descriptor, which is the caller's to close; `nil` where the process does not hold the lock.
    package func openDirectoryProof(forHolder process: Int32) -> CInt? {
        guard process > 0, holder == process else { return nil }
        let descriptor = unsafe Glibc.open(pins.path, CInt(NID_O_PATH) | O_DIRECTORY | O_CLOEXEC)
        return descriptor < 0 ? nil : descriptor
    }

    /// Whether a peer's descriptor is of the directory that this process's lock is on.
    package func isDirectoryProven(by descriptor: CInt) -> Bool {
        isSameFile(self.descriptor.withLock { $0 }, descriptor)
    }
}

/// `/proc/locks`: one line for each lock, `1: FLOCK ADVISORY WRITE 21730 00:27:5511785 0 EOF`.
enum LockTable {
    static func holder(device: dev_t, inode: ino_t) -> pid_t? {
        guard let stream = unsafe fopen("/proc/locks", "re") else { return nil }
        defer { unsafe fclose(stream) }
        var line = [CChar](repeating: 0, count: 256)
        while unsafe fgets(&line, CInt(line.count), stream) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if let holder = holder(in: text, device: device, inode: inode) { return holder }
        }
        return nil
    }

    static func holder(in line: String, device: dev_t, inode: ino_t) -> pid_t? {
        let fields = line.split(separator: " ", omittingEmptySubsequences: true)
        // A waiting process has an arrow in the second place.
        guard fields.count >= 6, fields[1] == "FLOCK", let holder = pid_t(fields[4]), holder > 0 else { return nil }
        let place = fields[5].split(separator: ":")
        // As makedev(3) puts the two together.
        guard place.count == 3, let major = dev_t(place[0], radix: 16), let minor = dev_t(place[1], radix: 16),
            ((major & 0xfff) << 8) | (minor & 0xff) | ((minor & ~0xff) << 12) == device, ino_t(place[2]) == inode
        else { return nil }
        return holder
    }
}
