import Glibc
import Testing

@testable import Hardening

@Suite struct HardeningErrorTests {
    @Test func `a kernel without filters is told apart from a right that is missing, with the key that does without`() {
        for (number, hasHint) in [(EINVAL, true), (ENOSYS, true), (EPERM, false), (EACCES, false)] {
            let text = HardeningError("install the system call filter", errorNumber: number).description
            #expect(text.hasPrefix("cannot install the system call filter: errno \(number)"))
            #expect(text.contains("set security.seccomp to false") == hasHint)
        }
    }
}
