/// A credential plugin of a kubeconfig: a program that prints the credential to use
/// (`client.authentication.k8s.io`, `ExecCredential`).
package struct ExecPlugin: Sendable, Hashable {
    package enum Version: String, Sendable, Hashable, CaseIterable {
        case v1 = "client.authentication.k8s.io/v1"
        case v1beta1 = "client.authentication.k8s.io/v1beta1"
    }

    package struct Variable: Sendable, Hashable {
        package var name: String
        package var value: String
    }

    package var version: Version
    /// The command as the kubeconfig has it.
    package var command: String
    package var arguments: [String]
    /// The variables that are added to the agent's own environment.
    package var environment: [Variable]
    package var providesClusterInfo: Bool

    /// The agent's path of the program.
    ///
    /// Finds it as client-go does, seen from the node's root: an absolute path is the node's; a path with a slash is
    /// relative to the kubeconfig's folder; a bare name is looked for along `searchPath`. The program is run in the
    /// agent's own file system view, so below another root only what needs none of the node's libraries works: static
    /// programs, which the plugins of EKS (aws-iam-authenticator), AKS (kubelogin) and GKE are.
    ///
    /// - Parameters:
    ///   - kubeconfig: The agent's path of the kubeconfig.
    ///   - files: Where the node's files are.
    ///   - searchPath: `PATH`; empty means the usual folders.
    /// - Throws: Where it was looked for in vain.
    /// - Returns: A file that may be executed.
    func locate(kubeconfig: String, files: HostFiles, searchPath: String) throws(KubernetesAPIError) -> String {
        if command.hasPrefix("/") { return try executable([files.located(command)], files) }
        let folder = kubeconfig.lastIndex(of: "/").map { String(kubeconfig[..<$0]) } ?? "."
        if command.contains("/") { return try executable(["\(folder)/\(command)"], files) }
        let path = searchPath.isEmpty ? Self.usualPath : searchPath
        let folders = path.split(separator: ":").filter { $0.hasPrefix("/") }
        return try executable(folders.map { files.located("\($0)/\(command)") }, files)
    }

    private static let usualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    private func executable(_ candidates: [String], _ files: HostFiles) throws(KubernetesAPIError) -> String {
        for candidate in candidates {
            guard let version = try? files.version(of: candidate), isExecutable(version.path) else { continue }
            return version.path
        }
        throw KubernetesAPIError(
            "credential plugin \(command)",
            "is no executable file; looked at \(candidates.joined(separator: ", ")); install it there, or mount it"
        )
    }
}
