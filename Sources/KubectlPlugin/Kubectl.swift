import Dispatch
import FoundationEssentials
import KubernetesAPI
import Operations
import Text

/// The user's kubectl: the way to the API server.
///
/// kubectl finds the cluster and the user's credential, runs the login plugins that an organization uses, and speaks
/// the protocols of the exec endpoint. Nothing of these is done twice here, and no credential passes through.
package struct Kubectl: Sendable {
    /// The output of kubectl, and the status with which it ended.
    package struct Ended: Sendable, Equatable {
        package var output: [UInt8]
        /// The text of standard error, at most 4 KiB.
        package var errors: String
        package var status: CInt

        /// The status of the program that `kubectl exec` ran; `nil`: kubectl did not get so far, or it was 0.
        package var remoteStatus: CInt? {
            let mark = "command terminated with exit code "
            guard let line = errors.split(separator: "\n").last(where: { $0.hasPrefix(mark) }) else { return nil }
            return CInt(line.dropFirst(mark.count))
        }
    }

    /// The most that one command may print: a debug bundle is the largest.
    private static let outputLimit = 64 << 20

    private let path: String
    private let options: [String]
    private let environment: [String]
    private let limit: Duration

    /// - Parameters:
    ///   - options: Given to each command: `--context`, `--kubeconfig` and the like.
    ///   - environment: The process's; `PATH` says where kubectl is.
    ///   - limit: How long one command may take.
    /// - Throws: ``PluginError`` if kubectl is not in `PATH`.
    package init(options: [String], environment: [String: String], limit: Duration) throws(PluginError) {
        let folders = (environment["PATH"] ?? "").split(separator: ":")
        let found = folders.lazy.map { "\($0)/kubectl" }.first { FileManager.default.isExecutableFile(atPath: $0) }
        guard let found else { throw PluginError("kubectl is not in PATH; this plugin reaches the cluster through it") }
        self.path = found
        self.options = options
        self.environment = environment.map { "\($0.key)=\($0.value)" }
        self.limit = limit
    }

    /// Runs kubectl to its end, whatever that is.
    package func run(_ arguments: [String]) async throws(PluginError) -> Ended {
        let limit = limit
        var process = ChildProcess(
            path: path, arguments: options + arguments, environment: environment, deadline: .now + limit)
        process.outputLimit = Self.outputLimit
        let outcome = await withCheckedContinuation { [process] continuation in
            DispatchQueue.global().async { continuation.resume(returning: process.run()) }
        }
        let command = "kubectl \(arguments.first ?? "")"
        switch outcome.end {
        case .exited(let status):
            return Ended(
                output: outcome.output, errors: String(decoding: outcome.errors, as: UTF8.self), status: status)
        case .signalled(let signal): throw PluginError("'\(command)' was ended by signal \(signal)")
        case .timedOut: throw PluginError("'\(command)' did not end within \(limit.components.seconds) s")
        case .tooMuchOutput: throw PluginError("'\(command)' printed more than \(Self.outputLimit >> 20) MiB")
        case .failed(let number): throw PluginError("'\(command)' could not be started: error number \(number)")
        }
    }

    /// The output of kubectl, if it succeeded.
    package func output(_ arguments: [String]) async throws(PluginError) -> [UInt8] {
        let ended = try await run(arguments)
        guard ended.status == 0 else { throw PluginError(ended.complaint) }
        return ended.output
    }
}

extension Kubectl.Ended {
    /// kubectl's last words, or that there were none.
    package var complaint: String {
        // kubectl's own line about the program that it ran says less than the program did.
        let lines = errors.split(separator: "\n").filter { !$0.hasPrefix("command terminated with exit code ") }
            .map { $0.trimmingPrefix("error: ") }
        return lines.last.map { VisibleText.line(String($0)) } ?? "kubectl ended with status \(status) and said nothing"
    }
}

/// The reason why a command of the plugin cannot go on.
package struct PluginError: Error, Equatable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}
