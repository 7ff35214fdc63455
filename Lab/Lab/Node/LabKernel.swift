import Foundation

/// The kernel below the lab: what tests and attacks may expect of it, by its version, and how fast it runs.
package enum LabKernel {
    /// Major and minor version, as `uname -r` begins.
    package static let version: (major: Int, minor: Int) = {
        let release = (try? String(contentsOfFile: "/proc/sys/kernel/osrelease", encoding: .utf8)) ?? ""
        let numbers = release.split(whereSeparator: { !$0.isNumber }).prefix(2).compactMap { Int($0) }
        return numbers.count == 2 ? (numbers[0], numbers[1]) : (0, 0)
    }()

    /// Whether this is Linux `major.minor` or newer.
    package static func isAtLeast(_ major: Int, _ minor: Int) -> Bool { version >= (major, minor) }

    /// The host guard is made of BPF netfilter links (Linux 6.4), and not an nftables table.
    package static var hasNetfilterLinks: Bool { isAtLeast(6, 4) }

    /// The error number of a connect(2) that a program refuses. Before Linux 5.18 (bpf_set_retval) it is always EPERM.
    package static let refusalError: CInt = isAtLeast(5, 18) ? ECONNREFUSED : EPERM
    /// The name of ``refusalError``.
    package static let refusal = refusalError == EPERM ? "EPERM" : "ECONNREFUSED"
    /// The name of the error with which a program refuses a bind(2). Before Linux 5.18 it is EPERM as well.
    package static let refusalToBind = isAtLeast(5, 18) ? "EADDRINUSE" : "EPERM"

    /// A socket tells the cgroup of the process that made it (Linux 5.15).
    package static var tellsSocketCreators: Bool { isAtLeast(5, 15) }

    /// A network namespace has its cookie from its making (Linux 5.12), and not from the first time that a program asks for it.
    package static var makesCookies: Bool { isAtLeast(5, 12) }

    /// How often longer than usual everything that is awaited may take: `PODIDENTD_LAB_PATIENCE`, for emulated machines.
    package static let patience = LabEnvironment.number("PODIDENTD_LAB_PATIENCE", usual: 1)
}
