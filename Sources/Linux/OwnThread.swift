#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A thread of its own for what blocks: neither event loops nor the tasks' threads may wait for it.
package struct OwnThread: Sendable {
    private let thread: Handle

    #if canImport(Glibc)
        private typealias Handle = pthread_t
    #else
        /// A pointer there.
        private typealias Handle = Int
    #endif

    private final class Work {
        let body: @Sendable () -> Void

        init(_ body: @escaping @Sendable () -> Void) {
            self.body = body
        }
    }

    /// Starts a thread that runs `body` and ends. It must be joined or detached.
    ///
    /// - Throws: Why the system has no thread left.
    package init(_ body: @escaping @Sendable () -> Void) throws(SystemError) {
        let work = unsafe Unmanaged.passRetained(Work(body))
        var thread = pthread_t()
        let result = unsafe pthread_create(
            &thread, nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                unsafe Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, work.toOpaque()
        )
        guard result == 0 else {
            unsafe work.release()
            throw SystemError(number: result)
        }
        #if canImport(Glibc)
            self.thread = thread
        #else
            self.thread = unsafe Int(bitPattern: thread)
        #endif
    }

    /// Waits for the thread's end.
    package func join() {
        #if canImport(Glibc)
            pthread_join(thread, nil)
        #else
            _ = unsafe pthread_join(pthread_t(bitPattern: thread), nil)
        #endif
    }

    /// Lets the thread end by itself.
    package func detach() {
        #if canImport(Glibc)
            pthread_detach(thread)
        #else
            unsafe pthread_detach(pthread_t(bitPattern: thread))
        #endif
    }

    /// Runs `body` on a thread of its own; `nil`: the system has no thread left.
    package static func run<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value? {
        await withCheckedContinuation { continuation in
            do throws(SystemError) {
                try OwnThread { continuation.resume(returning: body()) }.detach()
            } catch {
                continuation.resume(returning: nil)
            }
        }
    }
}

/// The number of a failed call's error.
package struct SystemError: Error, Sendable, Equatable {
    package let number: CInt

    package init(number: CInt) {
        self.number = number
    }
}
