import FoundationEssentials
import Linux
import Logging
import Synchronization
import Tokens
import UpstreamHTTP

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Credentials from a plugin: run when there is none, when the present one is about to end, and when the API server
/// refuses it; one run at a time, however many ask.
final class ExecCredentialSource: Sendable {
    private struct Storage {
        var cache: ExecCredentialCache
        var running: Task<Void, Never>?
    }

    /// AWS's and Google's plugins ask their clouds, in a second or two.
    static let deadline = Duration.seconds(10)

    private let kubeconfig: Kubeconfig
    private let plugin: ExecPlugin
    private let deadline: Duration
    private let logger: Logger
    private let storage: Mutex<Storage>

    init(
        _ plugin: ExecPlugin, of kubeconfig: Kubeconfig, deadline: Duration = ExecCredentialSource.deadline,
        pause: Duration = .seconds(1), logger: Logger
    ) throws(KubernetesAPIError) {
        self.kubeconfig = kubeconfig
        self.plugin = plugin
        self.deadline = deadline
        self.logger = logger
        storage = Mutex(Storage(cache: ExecCredentialCache(shortestPause: pause)))
        // The start fails now with what would otherwise be found at the first request.
        _ = try locate()
    }

    /// The credential to use for a request that begins now. A run is not ended by a caller that gives up.
    func credential() async throws(KubernetesAPIError) -> ExecCredentialCache.Held {
        while true {
            let running: Task<Void, Never>
            switch storage.withLock({ storage -> Step in
                switch storage.cache.action(at: .now) {
                case .use(let held): return .use(held)
                case .fail(let error): return .fail(error)
                case .run:
                    let task = storage.running ?? Task { await self.refresh() }
                    storage.running = task
                    return .wait(task)
                }
            }) {
            case .use(let held): return held
            case .fail(let error): throw error
            case .wait(let task): running = task
            }
            guard await wait(for: running) else {
                throw KubernetesAPIError(
                    "credential plugin \(plugin.command)", "still runs, and the request was given up")
            }
        }
    }

    /// Waits for the end of a run. Where the caller is cancelled it goes on for others: `false` then.
    private func wait(for run: Task<Void, Never>) async -> Bool {
        let (ends, end) = AsyncStream.makeStream(of: Void.self)
        Task {
            await run.value
            end.finish()
        }
        for await _ in ends {}
        return !Task.isCancelled
    }

    private enum Step {
        case use(ExecCredentialCache.Held)
        case fail(KubernetesAPIError)
        case wait(Task<Void, Never>)
    }

    func refused(_ number: UInt64) {
        storage.withLock { $0.cache.refused(number) }
    }

    private func refresh() async {
        let start = ContinuousClock.now
        let result = await run()
        let now = ContinuousClock.now
        storage.withLock { storage in
            storage.running = nil
            switch result {
            case .success(let credential): storage.cache.succeeded(credential, at: now, wallClock: .now())
            case .failure(let error): storage.cache.failed(error, at: now)
            }
        }
        switch result {
        case .success: logger.info("credential plugin run", metadata: ["duration": "\(now - start)"])
        case .failure(let error): logger.error("credential plugin failed", metadata: ["error": "\(error)"])
        }
    }

    private func locate() throws(KubernetesAPIError) -> String {
        try plugin.locate(
            kubeconfig: kubeconfig.path, files: kubeconfig.files,
            searchPath: ProcessInfo.processInfo.environment["PATH"] ?? "")
    }

    private func run() async -> Result<ExecCredential, KubernetesAPIError> {
        do throws(KubernetesAPIError) {
            let process = ChildProcess(
                path: try locate(), arguments: plugin.arguments, environment: environment(),
                deadline: .now + deadline)
            guard let outcome = await OwnThread.run({ process.run() }) else {
                throw KubernetesAPIError("credential plugin \(plugin.command)", "cannot be run: no thread is left")
            }
            guard outcome.end == .exited(0) else {
                throw KubernetesAPIError("credential plugin \(plugin.command)", problem(outcome))
            }
            return .success(try ExecCredential(parsing: outcome.output, version: plugin.version, now: .now()))
        } catch {
            return .failure(error)
        }
    }

    /// The agent's own environment, with what the kubeconfig adds and what the protocol says.
    private func environment() -> [String] {
        let authority = kubeconfig.certificateAuthority.flatMap { source -> [UInt8]? in
            switch source {
            case .inline(let bytes): bytes
            case .file(let path): try? kubeconfig.files.read(path, limit: Kubeconfig.fileLimit)
            }
        }
        let info = ExecInfo(plugin, server: kubeconfig.server, authorityPEM: authority)
        var added = Dictionary(
            plugin.environment.map { ($0.name, $0.value) }, uniquingKeysWith: { _, last in last })
        added["KUBERNETES_EXEC_INFO"] = info.json
        let all = ProcessInfo.processInfo.environment.merging(added) { _, added in added }
        return all.map { "\($0.key)=\($0.value)" }.sorted()
    }

    // MARK: Errors

    private func problem(_ outcome: ChildProcess.Outcome) -> String {
        let words = spoken(outcome.errors)
        let end =
            switch outcome.end {
            case .exited(let status): "ended with status \(status)"
            case .signalled(let number): "was ended by signal \(number)"
            case .timedOut: "did not end within \(deadline) and was killed"
            case .tooMuchOutput: "printed more than any credential is long, and was killed"
            case .failed(let number): "cannot be started: \(Self.words(for: number))"
            }
        return words.isEmpty ? "\(end), and printed no error" : "\(end): \(words)"
    }

    /// The text of its standard error, without what looks like a credential or was given to it as a secret.
    private func spoken(_ errors: [UInt8]) -> String {
        var text = String(decoding: errors, as: UTF8.self)
        for variable in plugin.environment where variable.value.utf8.count >= 8 {
            text = text.replacing(variable.value, with: SecretRedactor.replacement)
        }
        return UpstreamText.clean(text, limit: 512)
    }

    private static func words(for number: CInt) -> String {
        errorText(number)
    }
}
