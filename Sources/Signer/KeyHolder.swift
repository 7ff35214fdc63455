import FoundationEssentials
package import Logging
import NIOSSL
package import Operations
import SpiffeIdentity
import Synchronization

/// The signer's keys and its own certificate, read again while it runs: files that do not fit change nothing.
package final class KeyHolder: Sendable {
    private struct Storage {
        var keys: SignerKeys
        var tls: NIOSSLContext
        /// Contents of the files when they were last read.
        var fingerprint: [String: Data]
        /// The latest complaint.
        var complaint: String?
    }

    private let configuration: SignerConfiguration
    private let storage: Mutex<Storage>
    private let logger: Logger

    package init(_ configuration: SignerConfiguration, logger: Logger) throws {
        self.configuration = configuration
        self.logger = logger
        let fingerprint = Self.fingerprint(configuration)
        storage = Mutex(
            Storage(
                keys: try SignerKeys(
                    authority: configuration.authorityFolder, tokenKeys: configuration.tokenKeyFolder,
                    trustDomain: configuration.trustDomain),
                tls: try Self.context(configuration), fingerprint: fingerprint))
    }

    package var current: SignerKeys { storage.withLock(\.keys) }
    var tlsContext: NIOSSLContext { storage.withLock(\.tls) }

    /// Whether the authority can sign.
    package var readiness: Readiness {
        let hasEnded = current.authority.notAfter <= Date()
        return Readiness([Readiness.Condition("authority", problem: hasEnded ? "its certificate has ended" : nil)])
    }

    /// Looks at the files again and again until the task is cancelled.
    package func run() async {
        while (try? await Task.sleep(for: configuration.reloadInterval)) != nil { reload() }
    }

    /// Looks at the files once.
    package func reload() {
        let fingerprint = Self.fingerprint(configuration)
        guard storage.withLock({ $0.fingerprint != fingerprint }) else { return }
        do {
            let keys = try SignerKeys(
                authority: configuration.authorityFolder, tokenKeys: configuration.tokenKeyFolder,
                trustDomain: configuration.trustDomain)
            let tls = try Self.context(configuration)
            storage.withLock { storage in
                storage.keys = keys
                storage.tls = tls
                storage.fingerprint = fingerprint
                storage.complaint = nil
            }
            logger.notice(
                "keys read again",
                metadata: [
                    "authorities": "\(keys.bundle.authorities.count)", "token-keys": "\(keys.bundle.keys.count)",
                    "sequence": "\(keys.bundle.sequence)",
                ])
        } catch {
            let isNews = storage.withLock { storage in
                defer { storage.complaint = "\(error)" }
                return storage.complaint != "\(error)"
            }
            if isNews {
                logger.error("new keys cannot be used; the old ones stay", metadata: ["reason": "\(error)"])
            }
        }
    }

    private static func context(_ configuration: SignerConfiguration) throws -> NIOSSLContext {
        let folder = configuration.serverFolder
        var tls = TLSConfiguration.makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMFile(folder + "/tls.crt").map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(file: folder + "/tls.key", format: .pem)))
        tls.minimumTLSVersion = .tlsv12
        return try NIOSSLContext(configuration: tls)
    }

    private static func fingerprint(_ configuration: SignerConfiguration) -> [String: Data] {
        var contents: [String: Data] = [:]
        for folder in [configuration.authorityFolder, configuration.tokenKeyFolder, configuration.serverFolder] {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            for name in names where [".crt", ".key", ".pem"].contains(where: name.hasSuffix) {
                contents[folder + "/" + name] = try? Data(contentsOf: URL(filePath: folder + "/" + name))
            }
        }
        return contents
    }
}
