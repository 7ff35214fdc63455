import Attribution
import FoundationEssentials
import Logging
import MetadataServer
import NIOCore
import NIOSSL
import SpiffeIdentity
import SpiffeWorkload
import Synchronization

/// Metadata through TLS: the agent's certificate, which names the metadata server, and the look at a client's.
///
/// The certificate is the signer's, for the agent's own pod. Until there is one, connections to the port are closed.
final class SecureMetadata: Sendable {
    private struct Storage {
        var context: NIOSSLContext?
        /// The end of the certificate's life.
        var endsAt = Date.distantPast
        /// The certificate that the context has, with its key.
        var identity: (chain: [[UInt8]], key: WorkloadKey)?
        var bundle: TrustBundle?
        var renewAt = ContinuousClock.now
    }

    private let port: UInt16
    private let ownPod: PodUID
    private let trustDomain: TrustDomain
    private let source: CertificateSource
    private let store: IdentityStore
    private let directory: PodDirectory
    private let refused: @Sendable (PodRecord) -> Void
    private let logger: Logger
    private let storage = Mutex(Storage())
    private let limit = PodConnectionLimit(connectionsPerPod)

    /// A handshake and its session take some 100 KiB. Clients keep one connection.
    private static let connectionsPerPod = 32
    /// How often the bundle is compared, and how long after a failure the signer is asked again.
    private static let pause = Duration.seconds(5)
    /// How long a client may take to answer the end of its session.
    private static let endTime = TimeAmount.seconds(1)

    init(
        port: UInt16, ownPod: PodUID, trustDomain: TrustDomain, source: CertificateSource, store: IdentityStore,
        directory: PodDirectory, logger: Logger, refused: @escaping @Sendable (PodRecord) -> Void
    ) {
        self.port = port
        self.ownPod = ownPod
        self.trustDomain = trustDomain
        self.source = source
        self.store = store
        self.directory = directory
        self.logger = logger
        self.refused = refused
    }

    private struct NoCertificate: Error {}
    private struct TooManyConnections: Error {}

    /// The handlers before the metadata protocol on this port, for callers that `attributor` knows.
    func securedPort(_ attributor: Attributor) -> SecuredPort {
        SecuredPort(port: port) { [self] tag in
            let context = storage.withLock { $0.endsAt > Date() ? $0.context : nil }
            guard let context else { throw NoCertificate() }
            guard let place = limit.enter(attributor.identify(tag).pod) else { throw TooManyConnections() }
            return [
                NIOSSLServerHandler(context: context),
                ClientIdentityHandler(
                    identify: { attributor.identify(tag) },
                    identifyHolding: { await attributor.identify(tag, holdingAtMost: $0) },
                    id: { [trustDomain] pod in
                        SpiffeID(trustDomain, namespace: pod.namespace, serviceAccount: pod.serviceAccountName)
                    },
                    place: place, refused: refused),
            ]
        }
    }

    /// Obtains the certificate, renews it at half of its life, and follows the bundle, until the task is cancelled.
    func run() async {
        var lastComplaint = ""
        while !Task.isCancelled {
            do throws(IssueFailure) {
                try await update()
                lastComplaint = ""
            } catch {
                // Said once until it is another.
                if "\(error)" != lastComplaint {
                    logger.warning("no certificate for metadata over TLS", metadata: ["reason": "\(error)"])
                }
                lastComplaint = "\(error)"
            }
            guard (try? await Task.sleep(for: Self.pause * Double.random(in: 0.9...1.1))) != nil else { return }
        }
    }

    private func update() async throws(IssueFailure) {
        let bundle = try await store.currentBundle()
        if storage.withLock({ ContinuousClock.now >= $0.renewAt }) {
            let (chain, key) = try await certificate()
            try adopt(chain, key, bundle)
        } else if let (chain, key) = storage.withLock({ $0.bundle == bundle ? nil : $0.identity }) {
            try adopt(chain, key, bundle)
        }
    }

    private func certificate() async throws(IssueFailure) -> ([[UInt8]], WorkloadKey) {
        guard let pod = await directory.waitForRecord(of: ownPod, atMost: .seconds(10)) else {
            throw IssueFailure(.unavailable, "the agent's own pod \(ownPod) is not known on this node")
        }
        let key = WorkloadKey()
        let request: [UInt8]
        do throws(SpiffeError) { request = try key.signingRequest() } catch {
            throw IssueFailure(.unavailable, error.description)
        }
        return (try await source.servingCertificate(for: pod, request: request), key)
    }

    /// The server's side of TLS with this certificate.
    static func configuration(
        _ chain: [NIOSSLCertificate], _ key: NIOSSLPrivateKey, roots: [NIOSSLCertificate]
    ) -> TLSConfiguration {
        var tls = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        tls.minimumTLSVersion = .tlsv12
        // A client without a certificate is attributed as on port 80; one with a certificate must be the attributed pod.
        tls.certificateVerification = .optionalVerification
        tls.trustRoots = .certificates(roots)
        // A client that is gone never answers, and the agent's end waits for each connection.
        tls.shutdownTimeout = endTime
        return tls
    }

    private func adopt(_ chain: [[UInt8]], _ key: WorkloadKey, _ bundle: TrustBundle) throws(IssueFailure) {
        let context: NIOSSLContext
        let end: Date
        do {
            let certificates = try chain.map { try NIOSSLCertificate(bytes: $0, format: .der) }
            guard let leaf = certificates.first else { throw NoCertificate() }
            let roots = try bundle.authorities.map { try NIOSSLCertificate(bytes: $0, format: .der) }
            let privateKey = try NIOSSLPrivateKey(bytes: key.exposedPKCS8, format: .der)
            context = try NIOSSLContext(configuration: Self.configuration(certificates, privateKey, roots: roots))
            end = Date(timeIntervalSince1970: TimeInterval(leaf.notValidAfter))
        } catch {
            throw IssueFailure(.unavailable, "the signer's certificate for metadata over TLS cannot be used: \(error)")
        }
        let isFirst = storage.withLock { storage in
            let isNew = storage.identity?.chain != chain
            defer {
                storage.context = context
                storage.endsAt = end
                storage.identity = (chain, key)
                storage.bundle = bundle
                if isNew {
                    let life = max(end.timeIntervalSinceNow, 0)
                    storage.renewAt = .now + .seconds(life / 2 * Double.random(in: 0.9...1.1))
                }
            }
            return storage.context == nil
        }
        if isFirst { logger.info("metadata over TLS is served", metadata: ["port": "\(port)", "until": "\(end)"]) }
    }
}
