import FoundationEssentials

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Runs one program to its end, within limits. Blocks: for a thread of its own.
///
/// The program gets its own process group, an empty standard input, no descriptor of the agent's and no blocked signal;
/// the group is killed when the program ends or its time is up, so that nothing it started stays behind.
package struct ChildProcess: Sendable {
    package struct Outcome: Equatable, Sendable {
        package enum End: Equatable, Sendable {
            case exited(CInt)
            case signalled(CInt)
            case timedOut
            /// The process wrote more than ``outputLimit``.
            case tooMuchOutput
            /// The process could not be started: `errno`.
            case failed(CInt)
        }

        package var end: End
        package var output: [UInt8]
        /// The first bytes of its standard error.
        package var errors: [UInt8]
    }

    package var path: String
    /// The arguments without the program's own name.
    package var arguments: [String]
    /// `NAME=value`.
    package var environment: [String]
    package var deadline: ContinuousClock.Instant
    package var outputLimit = 256 * 1024
    var errorLimit = 4096

    package init(path: String, arguments: [String], environment: [String], deadline: ContinuousClock.Instant) {
        self.path = path
        self.arguments = arguments
        self.environment = environment
        self.deadline = deadline
    }

    package func run() -> Outcome {
        guard let output = Pipe(), let errors = Pipe() else { return failed(errno) }
        defer {
            output.close()
            errors.close()
        }
        var child = pid_t()
        let result = spawn(&child, output: output.writer, errors: errors.writer)
        guard result == 0 else { return failed(result) }
        output.closeWriter()
        errors.closeWriter()
        return Supervision(self, child: child, output: output.reader, errors: errors.reader).run()
    }

    private func failed(_ number: CInt) -> Outcome {
        Outcome(end: .failed(number), output: [], errors: [])
    }

    private func spawn(_ child: inout pid_t, output: CInt, errors: CInt) -> CInt {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        unsafe posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        unsafe posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO)
        for descriptor in Self.inheritableDescriptors() {
            unsafe posix_spawn_file_actions_addclose(&actions, descriptor)
        }
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        unsafe sigemptyset(&none)
        unsafe posix_spawnattr_setsigmask(&attributes, &none)
        var all = sigset_t()
        unsafe sigfillset(&all)
        unsafe posix_spawnattr_setsigdefault(&attributes, &all)
        unsafe posix_spawnattr_setpgroup(&attributes, 0)
        let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
        unsafe posix_spawnattr_setflags(&attributes, Int16(flags))
        return unsafe withCStrings([path] + arguments) { arguments in
            unsafe withCStrings(environment) { environment in
                unsafe posix_spawn(&child, path, &actions, &attributes, arguments, environment)
            }
        }
    }
}

extension ChildProcess {
    /// The descriptors that any library opened without `O_CLOEXEC`, but for the standard three.
    private static func inheritableDescriptors() -> [CInt] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
        return names.compactMap { CInt($0) }.filter { descriptor in
            let flags = fcntl(descriptor, F_GETFD)
            return descriptor > STDERR_FILENO && flags >= 0 && flags & FD_CLOEXEC == 0
        }
    }
}

/// Waits for a child and for what it writes.
private struct Supervision {
    let process: ChildProcess
    let child: pid_t
    let output: CInt
    let errors: CInt

    init(_ process: ChildProcess, child: pid_t, output: CInt, errors: CInt) {
        self.process = process
        self.child = child
        self.output = output
        self.errors = errors
    }

    func run() -> ChildProcess.Outcome {
        var outcome = ChildProcess.Outcome(end: .timedOut, output: [], errors: [])
        var isTold = false
        var polled = [
            pollfd(fd: output, events: Int16(POLLIN), revents: 0),
            pollfd(fd: errors, events: Int16(POLLIN), revents: 0),
        ]
        // The child's end is known by the end of its output. One that closes it and goes on has until the deadline.
        while let left = milliseconds() {
            guard polled.contains(where: { $0.fd >= 0 }) else {
                isTold = true
                break
            }
            let ready = unsafe poll(&polled, nfds_t(polled.count), left)
            if ready < 0, errno == EINTR { continue }
            for index in polled.indices where polled[index].fd >= 0 && polled[index].revents != 0 {
                guard let bytes = read(polled[index].fd) else {
                    polled[index].fd = -1
                    continue
                }
                if index == 0 {
                    outcome.output += bytes
                } else {
                    outcome.errors += bytes.prefix(process.errorLimit - outcome.errors.count)
                }
            }
            if outcome.output.count > process.outputLimit {
                outcome.output = []
                outcome.end = .tooMuchOutput
                break
            }
            // A helper that it left behind may hold the pipes open: the program's own end counts.
            if hasEnded() { polled = drained(polled, into: &outcome) }
        }
        outcome.end = finish(outcome.end, isTold: isTold)
        if outcome.end == .timedOut || outcome.end == .tooMuchOutput { outcome.output = [] }
        return outcome
    }

    /// Reads what is there already, and no more.
    private func drained(_ polled: [pollfd], into outcome: inout ChildProcess.Outcome) -> [pollfd] {
        var polled = polled
        // A helper may write without end: it is read for no longer than the program may run.
        while milliseconds() != nil, unsafe poll(&polled, nfds_t(polled.count), 0) > 0 {
            var hasRead = false
            for index in polled.indices where polled[index].fd >= 0 && polled[index].revents != 0 {
                guard let bytes = read(polled[index].fd) else {
                    polled[index].fd = -1
                    continue
                }
                hasRead = true
                if index == 0, outcome.output.count <= process.outputLimit { outcome.output += bytes }
                if index == 1 { outcome.errors += bytes.prefix(process.errorLimit - outcome.errors.count) }
            }
            guard hasRead, outcome.output.count <= process.outputLimit else { break }
        }
        for index in polled.indices { polled[index].fd = -1 }
        return polled
    }

    /// Whether the program has ended. It stays a zombie, so that its group's number is not another's yet.
    private func hasEnded() -> Bool {
        var information = unsafe siginfo_t()
        let result = unsafe waitid(P_PID, id_t(child), &information, WEXITED | WNOHANG | WNOWAIT)
        guard result == 0 else { return false }
        return unsafe information.si_signo == SIGCHLD
    }

    /// Ends the whole group and takes the program's status.
    private func finish(
        _ end: ChildProcess.Outcome.End, isTold: Bool
    ) -> ChildProcess.Outcome.End {
        // A moment to exit after its last word, at most until the deadline.
        if isTold {
            while !hasEnded(), let left = milliseconds() {
                poll(nil, 0, min(left, 5))
            }
        }
        let isOver = hasEnded()
        kill(-child, SIGKILL)
        var status: CInt = 0
        while unsafe waitpid(child, &status, 0) < 0, errno == EINTR {}
        guard isOver, end != .tooMuchOutput else { return end }
        let signal = status & 0x7f
        return signal == 0 ? .exited(status >> 8 & 0xff) : .signalled(signal)
    }

    /// The time until the deadline; `nil` once it has passed. At most 100 ms, so that a program's end is noticed.
    private func milliseconds() -> CInt? {
        let left = process.deadline - .now
        guard left > .zero else { return nil }
        return CInt(min(left / .milliseconds(1), 100).rounded(.up))
    }

    /// The bytes that can be read now; `nil` at the end.
    private func read(_ descriptor: CInt) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 16 * 1024)
        let count = unsafe Self.readBytes(descriptor, &buffer, buffer.count)
        return count > 0 ? Array(buffer.prefix(count)) : nil
    }

    @unsafe
    private static func readBytes(_ descriptor: CInt, _ buffer: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
        #if canImport(Glibc)
            unsafe Glibc.read(descriptor, buffer, count)
        #else
            unsafe Musl.read(descriptor, buffer, count)
        #endif
    }
}

/// A pipe whose ends close themselves at exec.
private final class Pipe {
    let reader: CInt
    private(set) var writer: CInt

    init?() {
        var ends: [CInt] = [-1, -1]
        guard unsafe pipe(&ends) == 0 else { return nil }
        (reader, writer) = (ends[0], ends[1])
        // Not in one step with their making; but nothing else here starts programs.
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    }

    func closeWriter() {
        guard writer >= 0 else { return }
        Self.closeDescriptor(writer)
        writer = -1
    }

    func close() {
        closeWriter()
        Self.closeDescriptor(reader)
    }

    private static func closeDescriptor(_ descriptor: CInt) {
        #if canImport(Glibc)
            _ = Glibc.close(descriptor)
        #else
            _ = Musl.close(descriptor)
        #endif
    }
}

/// Whether the agent may run the file at `path`.
func isExecutable(_ path: String) -> Bool {
    unsafe access(path, X_OK) == 0
}

/// `texts` as a NULL-terminated array of C strings.
@unsafe
private func withCStrings<Result>(
    _ texts: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var pointers = unsafe texts.map { unsafe strdup($0) } + [nil]
    defer { unsafe pointers.forEach { unsafe free($0) } }
    return unsafe body(&pointers)
}
