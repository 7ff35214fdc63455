import CLibbpf
import Glibc

/// A descriptor that this value owns and closes.
struct FileDescriptor: ~Copyable {
    let rawValue: CInt

    /// Takes ownership of `rawValue`, or throws what `errno` says if it is negative.
    init(owning rawValue: CInt, _ operation: @autoclosure () -> String) throws(BPFError) {
        if rawValue < 0 {
            throw BPFError(operation(), errorNumber: errno)
        }
        self.rawValue = rawValue
    }

    deinit {
        close(rawValue)
    }
}
