import Glibc
import Linux
import Operations
import Settings

/// The open file behind the audit stream. Writes whole lines or nothing.
struct AuditOutput: ~Copyable {
    // Never changed. Swift 6.2, which compiles for arm64, takes open() in the initializer for a change of a constant.
    private var path: String
    private var descriptor: CInt = -1
    private var isFailing = false
    /// Whether a line was cut where it cannot be taken back: the next one begins on a line of its own.
    private var isCut = false

    private var isStandardOutput: Bool { path == "-" }

    init(path: String) throws {
        self.path = path
        if let problem = open() { throw ConfigurationError("audit.path \(path): \(problem)") }
    }

    deinit {
        if descriptor > STDERR_FILENO { _ = Glibc.close(descriptor) }
    }

    mutating func close() {
        if !isStandardOutput, descriptor >= 0 { _ = Glibc.close(descriptor) }
        descriptor = -1
    }

    /// Whether this failure is the first of an outage.
    mutating func isNews(_ problem: String) -> Bool {
        defer { isFailing = true }
        return !isFailing
    }

    /// Whether an outage has just ended.
    mutating func isRecovered() -> Bool {
        defer { isFailing = false }
        return isFailing
    }

    /// Writes complete lines; returns what is wrong if it could not.
    mutating func write(_ lines: [UInt8]) -> String? {
        if isMoved { close() }
        if descriptor < 0, let problem = open() { return problem }
        let size = size
        var rest = ((isCut ? [UInt8(ascii: "\n")] : []) + lines)[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let problem = errorText(errno)
                // Half a line is none: it would spoil the next.
                let isPartial = rest.count < lines.count
                isCut = isPartial && !(size.map { ftruncate(descriptor, $0) == 0 } ?? false)
                return problem
            }
            rest = rest.dropFirst(count)
        }
        isCut = false
        return nil
    }

    private mutating func open() -> String? {
        if isStandardOutput {
            descriptor = STDOUT_FILENO
            return nil
        }
        let flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY
        descriptor = unsafe Glibc.open(path, flags, 0o600)
        return descriptor < 0 ? errorText(errno) : nil
    }

    /// The size of a regular file.
    private var size: off_t? {
        var info = stat()
        return unsafe fstat(descriptor, &info) == 0 && info.st_mode & S_IFMT == S_IFREG ? info.st_size : nil
    }

    /// Whether the path names another file by now, or none.
    private var isMoved: Bool {
        guard !isStandardOutput, descriptor >= 0 else { return false }
        var opened = stat()
        var named = stat()
        guard unsafe fstat(descriptor, &opened) == 0 else { return true }
        return unsafe stat(path, &named) != 0 || named.st_ino != opened.st_ino || named.st_dev != opened.st_dev
    }
}
