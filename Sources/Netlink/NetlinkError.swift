import Glibc
import Linux

/// Why the kernel did not do what it was asked over netlink.
package struct NetlinkError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The operation that was tried, as a verb phrase.
    package let operation: String
    /// The system's error number.
    package let errorNumber: CInt

    init(_ operation: String, errorNumber: CInt) {
        self.operation = operation
        self.errorNumber = errorNumber
    }

    package var description: String {
        let reason = errorText(errorNumber)
        return "cannot \(operation): \(reason)"
    }
}
