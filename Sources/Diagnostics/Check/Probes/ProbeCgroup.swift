import Attribution
import BPF
import FoundationEssentials
import Glibc
import Linux
import NIOPosix
import Settings
import Synchronization
import UnixSignals

/// A cgroup below kubepods that is no pod's, made to see what becomes of a pod's connections, and removed again.
final class ProbeCgroup: Sendable {
    static let prefix = "podidentd-check-"

    private let directory: String
    private let id: CgroupID?
    private let maps: PinnedMaps
    private let process = Mutex<pid_t?>(nil)
    private let isEnding = Atomic(false)

    /// The milliseconds of the longest wait: longer than all probes together can take.
    private static let patience: CInt = 30_000
    private static let outputBytesMax = 1 << 20

    init(below root: KubepodsRoot, in cgroups: CgroupFileSystem, maps: PinnedMaps) throws(AgentError) {
        let parent = cgroups.mountPoint + root.description
        // A check that was killed leaves its cgroup. The kernel refuses to remove one that is in use.
        for (_, path) in cgroups.children(of: root.path) {
            let name = String(decoding: path, as: UTF8.self)
            if name.contains("/" + Self.prefix) { unsafe rmdir(cgroups.mountPoint + name) }
        }
        let name = Self.prefix + "\(getpid())-" + String(UInt32.random(in: 0...UInt32.max), radix: 16)
        directory = "\(parent)/\(name)"
        guard unsafe mkdir(directory, 0o755) == 0 else {
            throw AgentError("cannot make the cgroup \(directory): \(errorText(errno))")
        }
        self.maps = maps
        id = cgroups.id(of: root.path + [UInt8]("/\(name)".utf8))
    }

    /// Tries `probes` from inside, and removes the cgroup, whatever happens: also when this process is told to end.
    static func run(
        _ probes: [SocketProbe], below root: KubepodsRoot, in cgroups: CgroupFileSystem, maps: PinnedMaps
    ) async throws -> SocketProbeReport {
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
        let cgroup = try ProbeCgroup(below: root, in: cgroups, maps: maps)
        let watch = Task {
            for await signal in signals {
                cgroup.isEnding.store(true, ordering: .sequentiallyConsistent)
                cgroup.remove()
                _exit(128 + signal.rawValue)
            }
        }
        defer {
            watch.cancel()
            cgroup.remove()
        }
        let output: [UInt8]
        do {
            output = try await NIOThreadPool.singleton.runIfActive { try cgroup.output(of: probes) }
        } catch {
            // The probing process was killed because this one is about to end: nothing is to be reported any more.
            if cgroup.isEnding.load(ordering: .sequentiallyConsistent) { await watch.value }
            throw error
        }
        guard let report = try? JSONDecoder().decode(SocketProbeReport.self, from: Data(output))
        else { throw AgentError("the probing process said nothing that can be understood") }
        return report
    }

    /// Ends what runs inside and removes the cgroup. Safe to call more than once, from anywhere.
    func remove() {
        if let process = process.withLock({ $0 }) { kill(process, SIGKILL) }
        guard unsafe access(directory, F_OK) == 0 else { return }
        // The kernel reports by poll(2) when the last process is gone.
        let events = unsafe open(directory + "/cgroup.events", O_RDONLY | O_CLOEXEC)
        if events >= 0 {
            for _ in 0..<50 {
                var buffer = [UInt8](repeating: 0, count: 256)
                let length = unsafe pread(events, &buffer, buffer.count, 0)
                if length <= 0 || String(decoding: buffer.prefix(length), as: UTF8.self).contains("populated 0") {
                    break
                }
                var polled = pollfd(fd: events, events: Int16(POLLPRI), revents: 0)
                unsafe poll(&polled, 1, 100)
            }
            close(events)
        }
        unsafe rmdir(directory)
        if let id { maps.forget(probe: id) }
    }

    /// Starts this program again inside, and reads what it prints.
    private func output(of probes: [SocketProbe]) throws -> [UInt8] {
        var pipes: [CInt] = [-1, -1]
        guard unsafe pipe(&pipes) == 0 else { throw failure("make a pipe", errno) }
        for end in pipes { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(pipes[0]) }
        let arguments = [
            "podidentd", ProbingProcess.command, "--cgroup", directory, "--probes",
            String(decoding: try JSONEncoder().encode(probes), as: UTF8.self),
        ]
        let child: pid_t
        do {
            defer { close(pipes[1]) }
            child = try spawn(arguments, output: pipes[1])
        }
        process.withLock { $0 = child }
        let output = read(pipes[0])
        // A process that has not closed its output by now does not end by itself.
        if output == nil { kill(child, SIGKILL) }
        var status: CInt = 0
        while unsafe waitpid(child, &status, 0) < 0, errno == EINTR {}
        process.withLock { $0 = nil }
        guard let output else { throw AgentError("the probing process did not end in time") }
        guard status == 0 else {
            throw AgentError("the probing process failed: \(String(decoding: output, as: UTF8.self))")
        }
        return output
    }

    private func spawn(_ arguments: [String], output: CInt) throws(AgentError) -> pid_t {
        do throws(SystemError) {
            return try SpawnRequest(
                path: "/proc/self/exe", arguments: arguments,
                descriptors: [(output, STDOUT_FILENO), (output, STDERR_FILENO)]
            ).start()
        } catch {
            throw failure("start the probing process", error.number)
        }
    }

    /// Reads everything until the end; `nil` if that does not come in time.
    private func read(_ descriptor: CInt) -> [UInt8]? {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16 * 1024)
        while bytes.count < Self.outputBytesMax {
            var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let ready = unsafe poll(&polled, 1, Self.patience)
            if ready < 0, errno == EINTR { continue }
            guard ready == 1 else { return nil }
            let length = unsafe Glibc.read(descriptor, &buffer, buffer.count)
            guard length > 0 else { return bytes }
            bytes += buffer.prefix(length)
        }
        return nil
    }

    private func failure(_ operation: String, _ number: CInt) -> AgentError {
        AgentError("cannot \(operation): \(errorText(number))")
    }
}
