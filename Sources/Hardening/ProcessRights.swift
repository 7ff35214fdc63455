import CHardening
import Glibc

/// The rights of the agent's process.
package enum ProcessRights {
    /// Allows as many open files as the hard limit does: two listening sockets for each network namespace, beside the
    /// connections.
    package static func raiseDescriptorLimit() {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// Keeps the capabilities that ``Capability`` lists, and takes every one from programs that this process will start.
    /// Forbids new privileges, core files and looks into its memory.
    ///
    /// Capabilities belong to a thread, and new threads inherit them: call this before there is a second one.
    package static func reduce() throws(HardeningError) {
        hardening_lift_memory_lock_limit()
        // A parent without CAP_SETPCAP, such as a container runtime with a list of its own, has bounded us.
        guard hardening_empty_bounding_set() == 0 || errno == EPERM else {
            throw HardeningError("empty the capability bounding set", errorNumber: errno)
        }
        try check(hardening_keep_capabilities(Capability.allMask), "give up capabilities")
        try check(hardening_forbid_new_privileges(), "forbid new privileges")
        try check(hardening_forbid_dumps(), "forbid core dumps")
    }
}

/// The system calls that the process may make: a short list, then a shorter one. Neither is ever undone.
package enum SystemCallFilter {
    /// The list for the time in which hooks are loaded and attached.
    case starting
    /// The shorter list, from when everything is attached.
    case serving

    /// Puts the filter over every thread. Needs ``ProcessRights/reduce()`` first.
    package func install() throws(HardeningError) {
        switch self {
        case .starting: try check(hardening_filter_system_calls(), "install the system call filter")
        case .serving: try check(hardening_filter_serving(), "narrow the system call filter")
        }
    }
}

/// Why the process could not give up a right.
package struct HardeningError: Error, Sendable, CustomStringConvertible {
    package let description: String

    init(_ operation: String, errorNumber: CInt) {
        let hint =
            switch errorNumber {
            case EINVAL, ENOSYS: "; this kernel has no seccomp filters: set security.seccomp to false to run without"
            default: ""
            }
        description = "cannot \(operation): errno \(errorNumber)\(hint)"
    }
}

private func check(_ result: CInt, _ operation: String) throws(HardeningError) {
    guard result == 0 else { throw HardeningError(operation, errorNumber: errno) }
}
