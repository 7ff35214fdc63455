import ArgumentParser
import Diagnostics
import FoundationEssentials
import Glibc
import Linux
import Operations
import Settings

struct DebugBundleCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bundle",
        abstract: "Writes everything that a bug report needs into one tar file, without secrets.",
        discussion: """
            Configuration, status, cgroups, connections, tokens (what they are for, never the tokens), the last lines \
            of the log, and the kernel's version. From a pod: kubectl exec POD -- podidentd debug bundle --file - > \
            bundle.tar
            """
    )

    @OptionGroup var agent: AgentOptions

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "Where to write it, mode 0600; - is standard output. Default: podidentd-debug-TIME.tar here.",
            valueName: "path"))
    var file: String?

    func run() async throws {
        let location = try agent.location()
        let path = file ?? "podidentd-debug-\(WallClock.timestamp().filter { $0 != "-" && $0 != ":" }).tar"
        if path == "-", Screen.terminal.isInteractive {
            throw ValidationError("standard output is a terminal: redirect it, or name a --file")
        }
        let (bytes, absence) = await archive(location)
        if path == "-" {
            StandardStream.output.write(bytes)
        } else {
            try Self.write(bytes, to: path)
            print("wrote \(path), \(bytes.count) bytes")
        }
        switch absence {
        case nil: break
        case .agent: Screen.warn("Warning: no agent answers: the bundle holds what the kernel knows")
        case .kernel:
            Screen.warn("Error: neither an agent nor the kernel's pins answer: the bundle describes the machine alone")
            throw ExitCode.failure
        }
    }

    /// The part that did not answer, and that a bundle therefore lacks.
    private enum Absence {
        /// The agent did not answer; the kernel's pins did.
        case agent
        /// The kernel's pins did not answer either.
        case kernel
    }

    private func archive(_ location: AgentLocation) async -> ([UInt8], Absence?) {
        var bundle = DebugBundle(modified: WallClock.seconds)
        bundle.add(
            "about.txt", "podidentd \(AgentVersion.current)\nwritten \(WallClock.timestamp())\n\(Self.machine())")
        let views = ["status", "config", "cgroups", "connections", "tokens", "log"]
        var isRunning = true
        for view in views where isRunning {
            do {
                bundle.add("\(view).json", String(decoding: try await location.fetch("/debug/\(view)"), as: UTF8.self))
            } catch {
                bundle.note(view, "\(error)")
                isRunning = (error as? AdminServerError)?.isUnreachable != true
            }
        }
        var absence: Absence?
        if !isRunning {
            absence = .agent
            do {
                let kernel = try location.kernelView()
                bundle.add("cgroups.json", try Screen.json(kernel.cgroupDump(node: location.nodeName)))
                bundle.add("connections.json", try Screen.json(kernel.connectionDump(node: location.nodeName)))
            } catch {
                bundle.note("kernel", "\(error)")
                absence = .kernel
            }
        }
        return (bundle.finished(), absence)
    }

    /// The machine: kernel, and where cgroups and BPF objects are.
    private static func machine() -> String {
        let version = FileManager.default.contents(atPath: "/proc/version") ?? Data()
        let mounts = String(
            decoding: FileManager.default.contents(atPath: "/proc/self/mounts") ?? Data(), as: UTF8.self
        )
        .split(separator: "\n").filter { line in
            line.split(separator: " ").dropFirst(2).first.map { $0.hasPrefix("cgroup") || $0 == "bpf" } ?? false
        }
        return String(decoding: version, as: UTF8.self) + mounts.joined(separator: "\n") + "\n"
    }

    /// Makes the file again, for its owner alone: no other user can have prepared it.
    private static func write(_ bytes: [UInt8], to path: String) throws {
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            let reason = errorText(errno)
            throw AgentError("cannot write \(path): \(reason)")
        }
        defer { close(descriptor) }
        guard StandardStream.write(bytes, to: descriptor) else {
            let reason = errorText(errno)
            throw AgentError("\(path) is incomplete: \(reason)")
        }
    }
}
