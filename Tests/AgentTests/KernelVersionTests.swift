import Operations
import Testing

@testable import Diagnostics

@Suite struct KernelVersionTests {
    struct Kernel: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var major: Int
        var minor: Int
        var state: Posture.State
        var meaning = ""
    }

    @Test(
        "a kernel is ok from the oldest on which its tests have passed, and below it check says what is known",
        arguments: [
            Kernel(testDescription: "5.4", major: 5, minor: 4, state: .degraded, meaning: "5.10 is the oldest"),
            Kernel(testDescription: "5.10", major: 5, minor: 10, state: .degraded, meaning: "not passed before 6.1"),
            Kernel(testDescription: "6.0", major: 6, minor: 0, state: .degraded, meaning: "not passed before 6.1"),
            Kernel(testDescription: "6.1", major: 6, minor: 1, state: .ok),
            Kernel(testDescription: "6.18", major: 6, minor: 18, state: .ok),
            Kernel(testDescription: "7.0", major: 7, minor: 0, state: .ok),
        ])
    func versions(_ kernel: Kernel) {
        let item = PostureCheck.version(
            kernel.testDescription + ".0-amd64", (major: kernel.major, minor: kernel.minor))
        #expect(item.id == "kernel.version" && item.state == kernel.state)
        #expect(item.found.hasPrefix("Linux \(kernel.testDescription).0-amd64"))
        #expect(kernel.meaning.isEmpty ? item.meaning.isEmpty : item.meaning.contains(kernel.meaning))
    }

    @Test("a release that is no version is not judged")
    func strange() {
        #expect(PostureCheck.version("unknown", nil).state == .unknown)
    }
}
