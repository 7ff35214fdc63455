package import Attribution
import EventLoops
package import KubernetesAPI
package import Logging
package import MetadataServer
import NIOCore
import NIOPosix
package import Operations
import SignerExchange
package import SpiffeIdentity
package import SpiffeWorkload
import Synchronization
package import Telemetry
package import Tokens

/// The SPIFFE endpoint of the agent, put together.
package final class SpiffeService: Sendable {
    private let settings: SpiffeSettings
    package let counters = SpiffeCounters()
    private let source: CertificateSource
    private let store: IdentityStore
    private let server: WorkloadServer
    private let listener = Mutex<UnixListener?>(nil)
    private let secure = Mutex<SecureMetadata?>(nil)
    /// Whether the log knows that the kernel does not tell Unix peers.
    private let kernelHasFailed = Atomic(false)
    private let audit: AuditLog
    private let logger: Logger

    package init(
        _ settings: SpiffeSettings, tokens: any SubjectTokenIssuing, requests: PodCertificateClient, audit: AuditLog,
        logger: Logger
    ) {
        self.settings = settings
        self.audit = audit
        self.logger = logger
        source = CertificateSource(
            way: settings.certificates, signer: SignerClient(settings.signer, tokens: tokens), requests: requests,
            logger: logger)
        let observer = SpiffeReporter(counters: counters, audit: audit, logger: logger)
        let group = MultiThreadedEventLoopGroup.singleton
        store = IdentityStore(
            configuration: settings.workload, issuer: source, observer: observer, loop: group.next())
        server = WorkloadServer(store: store, group: group, observer: observer, logger: logger)
    }

    /// The handlers before the metadata protocol on the port of TLS; `nil` without that port. `pods` knows the agent's
    /// own pod, which the certificate is for.
    package func secured(_ attributor: Attributor, pods: PodDirectory) -> SecuredPort? {
        guard let metadata = settings.metadata else { return nil }
        let secure = SecureMetadata(
            port: metadata.port, ownPod: metadata.ownPod, trustDomain: settings.workload.trustDomain, source: source,
            store: store, directory: pods, logger: logger
        ) { [counters, audit] pod in
            counters.foreignCertificates.increment()
            audit.recordSpiffeRefusal(of: pod, "metadata", reason: "the client certificate is another pod's")
        }
        self.secure.withLock { $0 = secure }
        return secure.securedPort(attributor)
    }

    /// Returns the service for connections to the endpoint's port, from pods that `attributor` knows; `nil` without a port.
    package func service(_ attributor: Attributor) -> OtherService? {
        guard settings.port != 0 else { return nil }
        return OtherService(port: settings.port) { [server] descriptor, tag in
            server.serve(
                descriptor,
                WorkloadPeer(
                    transport: .tcp, identify: { attributor.identify(tag) },
                    identifyHolding: { await attributor.identify(tag, holdingAtMost: $0) }))
        }
    }

    /// Drops everything of a pod that is gone.
    package func forget(_ pod: PodUID) { store.forget(pod) }

    /// Keeps what is served up to date until the task is cancelled.
    package func run() async { await store.run() }

    /// Listens on the Unix socket, if there is to be one.
    package func listen(_ attributor: Attributor, peers: UnixPeers) async throws(AdminServerError) {
        guard let path = settings.socket else { return }
        let bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture {
                    // An error closes the connection unread.
                    let tag = try caller(of: channel, among: peers)
                    try server.adopt(
                        channel,
                        WorkloadPeer(
                            transport: .unix, identify: { attributor.identify(tag) },
                            identifyHolding: { await attributor.identify(tag, holdingAtMost: $0) }))
                }
            }
        let opened = try await UnixListener.open(at: path, isPublic: true, bootstrap)
        listener.withLock { $0 = opened }
    }

    /// Identifies the peer. The audit gets one that connects another pod's socket, and the log once a kernel that fails.
    private func caller(of channel: any Channel, among peers: UnixPeers) throws -> CallerTag {
        do {
            return try peers.tag(ofPeerOn: channel)
        } catch let refusal as UnixPeers.Refusal {
            switch refusal {
            case .noPod: break
            case .foreignSocket(let pod):
                audit.recordRefusal(
                    of: AuditRecord.Subject(uid: pod.description), kind: "connect",
                    reason: "the socket was made outside of the pod that connected it", status: 403)
            case .kernel(let problem):
                counters.refusedConnections.increment()
                if !kernelHasFailed.exchange(true, ordering: .relaxed) {
                    logger.error(
                        "connections to the SPIFFE socket are refused: the kernel does not tell whose they are",
                        metadata: ["reason": "\(problem)"])
                }
            }
            throw refusal
        }
    }

    /// Keeps the metadata server's own certificate fresh, as long as the agent runs. A service that returns ends the agent:
    /// without such a certificate this waits.
    package func runSecure() async {
        guard let secure = secure.withLock({ $0 }) else { return await untilCancelled() }
        await secure.run()
    }

    /// Ends every stream, spread over a part of `time`, and closes.
    package func shutdown(within time: Duration) async {
        let listener = self.listener.withLock { listener in
            defer { listener = nil }
            return listener
        }
        await listener?.close()
        await server.drain(within: time)
        await runClosing { [source] in await source.shutdown() }
    }

    /// The stage that `explain` adds.
    package var explainer: @Sendable (PodRecord) async -> Explanation.Stage { { [self] pod in await explain(pod) } }

    /// Tries to get the pod's certificate, for `explain`, unless the pod has one.
    private func explain(_ pod: PodRecord) async -> Explanation.Stage {
        let way = await source.wayInUse()
        switch await store.tryCertificate(for: pod) {
        case .success(let svid):
            return Explanation.Stage("spiffe", .ok, "\(svid.id), certificate \(svid.serialNumber), by \(way)")
        case .failure(let failure):
            return Explanation.Stage(
                "spiffe", .failed, "no certificate by \(way): \(failure.reason)",
                remedy: failure.kind == .denied
                    ? "the signer's log says why it refused: each refusal is a line of its standard output"
                    : "see docs/operate/spiffe.md, 'When something is down'; the signer is spiffe.signer")
        }
    }

    /// How many certificates were obtained.
    package var certificateCount: UInt64 { counters.issued[.x509] }

    /// The numbers for the metrics.
    package var holdings: (connections: Int, streams: Int, certificates: Int, tokens: Int) {
        let holdings = store.holdings
        return (server.connectionCount, holdings.streams, holdings.certificates, holdings.tokens)
    }
}

/// Counters of the endpoint.
package struct SpiffeCounters: Sendable {
    /// A method, or what is none.
    enum Method: Int, Sendable, CaseIterable {
        case fetchX509SVID
        case fetchX509Bundles
        case fetchJWTSVID
        case fetchJWTBundles
        case validateJWTSVID
        case streamSecrets
        case other

        init(_ method: WorkloadMethod?) {
            switch method {
            case .fetchX509SVID: self = .fetchX509SVID
            case .fetchX509Bundles: self = .fetchX509Bundles
            case .fetchJWTSVID: self = .fetchJWTSVID
            case .fetchJWTBundles: self = .fetchJWTBundles
            case .validateJWTSVID: self = .validateJWTSVID
            case .streamSecrets: self = .streamSecrets
            case nil: self = .other
            }
        }

        var name: String {
            switch self {
            case .fetchX509SVID: "fetch_x509_svid"
            case .fetchX509Bundles: "fetch_x509_bundles"
            case .fetchJWTSVID: "fetch_jwt_svid"
            case .fetchJWTBundles: "fetch_jwt_bundles"
            case .validateJWTSVID: "validate_jwt_svid"
            case .streamSecrets: "stream_secrets"
            case .other: "other"
            }
        }
    }

    /// The counters by the numbers of method and code. Hashing names would cost more than the count.
    private let calls = Method.allCases.map { _ in
        (0...(GRPCStatus.Code.allCases.map(\.rawValue).max() ?? 0)).map { _ in MetricCounter() }
    }
    package let issued = CounterTable<IssuedSVID.Kind>()
    package let failed = CounterTable<IssueFailure.Kind>()
    package let pushes = MetricCounter()
    package let refusedConnections = MetricCounter()
    package let rejections = MetricCounter()
    package let foreignCertificates = MetricCounter()

    package init() {}

    func count(_ method: WorkloadMethod?, _ code: GRPCStatus.Code) {
        calls[Method(method).rawValue][code.rawValue].increment()
    }

    package var callSamples: [MetricSample] {
        Method.allCases.flatMap { method in
            GRPCStatus.Code.allCases.map { code in
                MetricSample(
                    [method.name, "\(code.rawValue)"],
                    .integer(calls[method.rawValue][code.rawValue].current))
            }
        }
    }
}

/// Counts what the endpoint does, and writes it to audit and log.
struct SpiffeReporter: WorkloadObserver {
    let counters: SpiffeCounters
    let audit: AuditLog
    let logger: Logger

    func ended(_ method: WorkloadMethod?, with status: GRPCStatus.Code) { counters.count(method, status) }

    func refused(_ pod: PodRecord?, _ method: WorkloadMethod?, _ status: GRPCStatus) {
        audit.recordSpiffeRefusal(of: pod, method?.rawValue ?? "unknown", reason: status.message)
    }

    func issued(_ svid: IssuedSVID, for pod: PodRecord, took: Duration) {
        counters.issued.increment(svid.kind)
        audit.record(svid, for: pod, took: took)
    }

    func failed(_ kind: IssuedSVID.Kind, for pod: PodRecord, _ failure: IssueFailure) {
        counters.failed.increment(failure.kind)
        audit.record(kind, for: pod, failure)
    }

    func pushed(_ method: WorkloadMethod) { counters.pushes.increment() }

    func rejected() { counters.rejections.increment() }

    func connectionRefused() { counters.refusedConnections.increment() }
}
