import CLibbpf
import Glibc
import Linux

/// A failed operation on a BPF object, a cgroup or the BPF file system.
package struct BPFError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The operation that was tried, as a verb phrase: `attach nid_connect4`.
    package let operation: String
    /// The system's error number; 0 where the failure is not a system call's.
    package let errorNumber: CInt
    /// The reader's remedy, as a sentence without a full stop. Empty if nothing is known.
    package let hint: String

    package init(_ operation: String, errorNumber: CInt = 0, hint: String = "") {
        self.operation = operation
        self.errorNumber = errorNumber
        self.hint = hint.isEmpty ? Self.hint(for: errorNumber) : hint
    }

    package var description: String {
        var text = "cannot \(operation)"
        if errorNumber != 0 {
            let reason = errorText(errorNumber)
            text += ": \(reason)"
        }
        if !hint.isEmpty {
            text += " (\(hint))"
        }
        return text
    }

    private static func hint(for errorNumber: CInt) -> String {
        switch errorNumber {
        case EPERM: "BPF needs root with CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_SYS_ADMIN, and no lockdown"
        case ENOSYS: "the kernel was built without BPF"
        default: ""
        }
    }
}

/// Turns libbpf's negative results into errors.
func check(_ result: CInt, _ operation: @autoclosure () -> String) throws(BPFError) {
    if result < 0 {
        throw BPFError(operation(), errorNumber: -result)
    }
}
