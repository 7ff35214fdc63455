import Operations
import Testing

@testable import Diagnostics

@Suite struct KernelVersionTests {
    struct Kernel: CustomTestStringConvertible, Sendable {
        /// As `uname -r` prints it.
        var release: String
        var state: Posture.State
        var meaning = ""
        var testDescription: String { release }
    }

    @Test(
        "a kernel is ok from the oldest on which its tests have passed, and below it check says what is known",
        arguments: [
            Kernel(release: "5.4.0-216-generic", state: .degraded, meaning: "5.10 is the oldest"),
            Kernel(release: "5.9.16", state: .degraded, meaning: "5.10 is the oldest"),
            Kernel(release: "5.10.0-28-amd64", state: .ok),
            Kernel(release: "6.1.0-50-amd64", state: .ok),
            Kernel(release: "6.12.0", state: .ok),
            Kernel(release: "7.0.0", state: .ok),
            // Versions are compared as numbers, not as text.
            Kernel(release: "10.0-rc1", state: .ok),
            // A release that is no version is not judged.
            Kernel(release: "unknown", state: .unknown),
        ])
    func versions(_ kernel: Kernel) async throws {
        let items = try await PostureCheck.of().kernel(PostureHooksTests.features(release: kernel.release))
        let item = try #require(items.first { $0.id == "kernel.version" })
        #expect(item.state == kernel.state && item.found.hasPrefix("Linux \(kernel.release)"))
        #expect(kernel.meaning.isEmpty ? item.meaning.isEmpty : item.meaning.contains(kernel.meaning))
    }
}
