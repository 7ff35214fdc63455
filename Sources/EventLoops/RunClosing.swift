/// Runs `work`, and waits for its end, but no longer than `limit`: then the work goes on by itself. A peer that is gone does not
/// answer the end of a TLS session, for which each connection waits five seconds.
///
/// Neither the work nor the wait ends with a task that is cancelled: both are for what closes something.
package func runClosing(within limit: Duration = .seconds(1), _ work: @escaping @Sendable () async -> Void) async {
    let (ends, end) = AsyncStream.makeStream(of: Void.self)
    Task {
        await work()
        end.finish()
    }
    let timer = Task {
        guard (try? await Task.sleep(for: limit)) != nil else { return }
        end.finish()
    }
    // In a task of its own: one that is cancelled does not wait for a stream.
    await Task { for await _ in ends {} }.value
    timer.cancel()
}
