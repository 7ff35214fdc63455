/// A right of the kernel's (`capabilities(7)`) that the agent keeps, and why. It gives up every other before it has a
/// second thread.
package enum Capability: Int, Sendable, CaseIterable {
    /// Opening cgroups by their ID (`open_by_handle_at`), which turns an event or a tag into a path; and reading the
    /// kubelet's credentials where they belong to another user.
    case dacReadSearch = 2
    /// Loading and attaching socket and netfilter programs, at start.
    case netAdmin = 12
    /// Loading the program on cgroup tracepoints, at start.
    case perfmon = 38
    /// Every use of `bpf(2)`: programs at start, tags and counters as long as it serves.
    case bpf = 39

    /// The capability's bit in a set of capabilities, as `/proc/PID/status` writes one.
    package var mask: UInt64 { 1 << UInt64(rawValue) }

    package static var allMask: UInt64 { allCases.reduce(0) { $0 | $1.mask } }
}
