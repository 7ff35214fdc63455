/// The wait of the client for whom a task works.
///
/// Every queue on the way to an answer serves the client first that has waited longest, whatever the queue: what counts is
/// when its request arrived, not when it came to this queue.
package enum ClientWait {
    /// The time at which the client's request arrived. Later than now for work that no client waits for yet; `nil` for
    /// work that is no client's.
    @TaskLocal package static var began: ContinuousClock.Instant?

    /// The time after which a client has its answer, or has been told that there is none: work for it comes after all
    /// other.
    package static let limit = Duration.milliseconds(2_900)
}
