package import Foundation
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A kubelet's credentials on disk, laid out and rotated as a real kubelet does it.
///
/// `kubelet-client-current.pem` is a symbolic link to `kubelet-client-<date>.pem`, which holds certificate and key. A
/// rotation writes a new file and replaces the link atomically; old files stay. The kubeconfig never changes.
package final class KubeletFiles: Sendable {
    /// The directory of all files, made by the initializer.
    package let directory: String
    private let rotations = Mutex(0)

    /// The kubeconfig that names the certificate link for both certificate and key.
    package var kubeconfigPath: String { "\(directory)/kubelet.conf" }
    /// The symbolic link that rotation replaces.
    package var currentCertificatePath: String { "\(directory)/pki/kubelet-client-current.pem" }
    /// The authority that signed the API server's certificate.
    package var authorityPath: String { "\(directory)/pki/ca.crt" }

    /// Writes authority, first credential and kubeconfig below `directory`.
    package init(
        directory: String,
        server: String,
        authorityPEM: String,
        credential: LabPKI.Credential
    ) throws {
        self.directory = directory
        try FileManager.default.createDirectory(atPath: "\(directory)/pki", withIntermediateDirectories: true)
        try Self.write(authorityPEM, to: authorityPath)
        try rotate(to: credential)
        let user = """
            client-certificate: \(currentCertificatePath)
                client-key: \(currentCertificatePath)
            """
        try Self.write(
            Kubeconfig.text(server: server, authorityPath: authorityPath, user: user),
            to: kubeconfigPath
        )
    }

    /// Makes `credential` the current one. Readers see the old file or the new one, never neither.
    package func rotate(to credential: LabPKI.Credential, at date: Date = Date()) throws {
        let number = rotations.withLock { rotations in
            rotations += 1
            return rotations
        }
        // A kubelet rotates rarely enough for a date to be unique; a test does not, hence the number.
        let stamp = Timestamp.rfc3339(date).replacing(":", with: "-").replacing("Z", with: "")
        let name = "kubelet-client-\(stamp)-\(number).pem"
        try Self.write(credential.bundlePEM, to: "\(directory)/pki/\(name)")
        let staged = "\(currentCertificatePath).\(number)"
        try FileManager.default.createSymbolicLink(atPath: staged, withDestinationPath: name)
        try Self.rename(staged, to: currentCertificatePath)
    }

    /// Writes a kubeconfig whose credential is a token in a file, and returns its path.
    ///
    /// Writing again replaces the token atomically.
    package func writeTokenKubeconfig(token: String, server: String) throws -> String {
        let tokenPath = "\(directory)/token"
        try Self.write(token, to: tokenPath)
        let path = "\(directory)/token.conf"
        try Self.write(
            Kubeconfig.text(
                server: server,
                authorityPath: authorityPath,
                user: "tokenFile: \(tokenPath)"
            ),
            to: path
        )
        return path
    }

    /// Writes `text` with mode 0600 under a temporary name and moves it into place.
    private static func write(_ text: String, to path: String) throws {
        let staged = "\(path).staged"
        let attributes: [FileAttributeKey: Any] = [.posixPermissions: 0o600]
        guard FileManager.default.createFile(atPath: staged, contents: Data(text.utf8), attributes: attributes) else {
            throw CocoaError(.fileWriteUnknown, userInfo: [NSFilePathErrorKey: staged])
        }
        try rename(staged, to: path)
    }

    private static func rename(_ source: String, to destination: String) throws {
        guard replaceFile(source, destination) == 0 else {
            throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
        }
    }
}

/// `rename(2)`, whose name the method above hides.
private func replaceFile(_ source: String, _ destination: String) -> CInt {
    unsafe rename(source, destination)
}

/// The text of kubeconfig files.
private enum Kubeconfig {
    static func text(server: String, authorityPath: String, user: String) -> String {
        """
        apiVersion: v1
        kind: Config
        clusters:
        - name: default-cluster
          cluster:
            certificate-authority: \(authorityPath)
            server: \(server)
        contexts:
        - name: default-context
          context:
            cluster: default-cluster
            namespace: default
            user: default-auth
        current-context: default-context
        preferences: {}
        users:
        - name: default-auth
          user:
            \(user)

        """
    }
}
