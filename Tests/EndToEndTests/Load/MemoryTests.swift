import AgentTesting
import Lab
import Testing

/// The memory that all pods together can make the agent hold.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct MemoryTests {
    /// A smaller form of `make memory`, with a debug build: its limit is the manifest's and what a debug build needs more.
    @Test(
        "pods that take all that the limits allow stay within the memory limit, and another is served",
        arguments: [MemoryTrial.Pressure.heads, .watches, .unread])
    func withinTheLimit(_ pressure: MemoryTrial.Pressure) async throws {
        var trial = MemoryTrial()
        trial.pods = 12
        trial.connections = 256
        trial.seconds = 3
        let rows = try await trial.run(keys: try sharedKeys.get(), [pressure]) { print($0.line) }
        let row = try #require(rows.first)
        #expect(!row.isKilled)
        #expect(row.isServedAfterwards)
        // The trial makes 3,072 connections.
        #expect(row.connections < 2_300)
        // No connection keeps more than its two buffers.
        #expect(row.sockets < 2_300 * (8 << 10 + 16 << 10))
    }
}
