import CLabShims
import Foundation
import Synchronization

/// A child process that inherits the three descriptors it is given and nothing else.
///
/// Foundation's `Process` makes pipes without `O_CLOEXEC`, also the one by which it learns of a child's end: a
/// long-lived child that another thread starts at the same moment inherits them. Then neither the end of the first
/// child's output nor its own end is ever seen.
final class LabProcess: Sendable {
    let identifier: pid_t
    /// Readable once the process has ended.
    private let descriptor: FileHandle
    private let status = Mutex<Int32?>(nil)

    /// Starts `arguments`, found along `PATH`, in a process group of its own.
    init(
        _ arguments: [String], environment: [String: String] = [:],
        input: FileHandle, output: FileHandle, errors: FileHandle
    ) throws {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_adddup2(&actions, input.fileDescriptor, STDIN_FILENO)
        unsafe posix_spawn_file_actions_adddup2(&actions, output.fileDescriptor, STDOUT_FILENO)
        unsafe posix_spawn_file_actions_adddup2(&actions, errors.fileDescriptor, STDERR_FILENO)
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe posix_spawnattr_setsigmask(&attributes, &signals)
        unsafe sigfillset(&signals)
        unsafe posix_spawnattr_setsigdefault(&attributes, &signals)
        unsafe posix_spawnattr_setpgroup(&attributes, 0)
        unsafe posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }.map { "\($0)=\($1)" }
        let words = unsafe arguments.map { unsafe strdup($0) }
        let settings = unsafe variables.map { unsafe strdup($0) }
        defer { unsafe (words + settings).forEach { unsafe free($0) } }
        guard let program = unsafe words.first ?? nil else { throw LabError("a command needs a name") }
        var child: pid_t = 0
        lab_keep_descriptors_from_children()
        let result = unsafe posix_spawnp(&child, program, &actions, &attributes, words + [nil], settings + [nil])
        guard result == 0 else {
            let reason = unsafe String(cString: strerror(result))
            throw LabError("cannot start '\(arguments.joined(separator: " "))': \(reason)")
        }
        identifier = child
        let descriptor = lab_open_process(child)
        guard descriptor >= 0 else {
            kill(child, SIGKILL)
            throw LabError("cannot watch process \(child): \(unsafe String(cString: strerror(errno)))")
        }
        self.descriptor = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        // Whether or not anybody asks how it ended. Swift Testing waits for the end of its exit tests among all children,
        // and never gets past one that has ended and stays.
        Thread { _ = self.wait() }.start()
    }

    var isRunning: Bool { end() == nil }

    /// Sends a signal, unless the process has ended.
    func signal(_ number: Int32) {
        status.withLock { status in
            if status == nil { _ = kill(identifier, number) }
        }
    }

    /// Waits for the end. Blocks.
    ///
    /// - Returns: The exit status, or 128 plus the signal's number.
    func wait() -> Int32 {
        while true {
            if let status = end() { return status }
            _ = hasEvent(within: -1)
        }
    }

    /// Hands over what the process writes to `outputs`, until all are at their end or the process has ended. Blocks.
    ///
    /// Output that a descendant writes after the process's end is lost.
    func read(from outputs: [FileHandle], _ body: (Int, ArraySlice<UInt8>) -> Void) {
        var polled = (outputs + [descriptor]).map { pollfd(fd: $0.fileDescriptor, events: Int16(POLLIN), revents: 0) }
        let last = polled.count - 1
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        while polled[..<last].contains(where: { $0.fd >= 0 }) {
            guard unsafe poll(&polled, nfds_t(polled.count), -1) > 0 else { continue }
            var hasRead = false
            for index in 0..<last where polled[index].fd >= 0 && polled[index].revents != 0 {
                let count = unsafe Glibc.read(polled[index].fd, &buffer, buffer.count)
                if count > 0 {
                    hasRead = true
                    body(index, buffer[..<count])
                } else if count == 0 || errno != EINTR {
                    polled[index].fd = -1
                }
            }
            if !hasRead, polled[last].revents != 0 { return }
        }
    }

    private func end() -> Int32? {
        status.withLock { status in
            guard status == nil, hasEvent(within: 0) else { return status }
            var word: Int32 = 0
            guard unsafe waitpid(identifier, &word, 0) == identifier else { return status }
            let signal = word & 0x7f
            status = signal == 0 ? word >> 8 & 0xff : 128 + signal
            return status
        }
    }

    private func hasEvent(within milliseconds: Int32) -> Bool {
        var polled = pollfd(fd: descriptor.fileDescriptor, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&polled, 1, milliseconds) > 0
    }
}

/// A pipe that no child inherits unless it is given one of its ends.
struct LabPipe {
    let reader: FileHandle
    let writer: FileHandle

    init() throws {
        var ends: [Int32] = [-1, -1]
        guard unsafe lab_pipe(&ends) == 0 else {
            throw LabError("cannot make a pipe: \(unsafe String(cString: strerror(errno)))")
        }
        reader = FileHandle(fileDescriptor: ends[0], closeOnDealloc: true)
        writer = FileHandle(fileDescriptor: ends[1], closeOnDealloc: true)
    }
}
