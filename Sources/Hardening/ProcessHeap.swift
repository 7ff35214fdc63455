import CHardening

/// The heap of the agent's process: most of its threads wait most of the time.
package enum ProcessHeap {
    /// Has all threads share two heaps. One for each thread would keep what only the start needed, in each of them.
    ///
    /// Counts for threads that start later.
    package static func limit() {
        hardening_limit_heaps(2)
    }

    /// Gives the pages of what is free back to the kernel.
    package static func releaseFree() {
        hardening_release_free_heap()
    }
}
