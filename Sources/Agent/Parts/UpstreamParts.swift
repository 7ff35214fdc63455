import Clouds
import EventLoops
import GoogleTokenExchange
import KubernetesAPI
import Logging
import MetadataProtocol
import NodeObject
import Settings
import SpiffeEndpoint
import Telemetry
import Tokens
import UpstreamHTTP

/// The parts that ask the API server and the clouds, and record the answers.
struct UpstreamParts: Sendable {
    let credentials: NodeCredentials
    /// `nil`: no startup taint is configured.
    let taintCredentials: NodeCredentials?
    let options: KubernetesClientOptions
    let callers = RecentCallers()
    /// Counts of each pod, which end with the pod as its tokens do.
    let podMeters = PodMeters()
    let audit: AuditLog
    let place = NodePlace()
    let clouds: [any CloudModule]
    /// `nil`: Google's protocol is not served.
    let exchange: GoogleTokenService?
    let kubernetes: KubernetesClient
    let metered: MeteredUpstreams
    let tokens: TokenService
    let spiffe: SpiffeService?

    /// Reads the kubeconfig; connects to nothing.
    init(_ configuration: AgentConfiguration, spiffe: SpiffeSettings?, logger: Logger) throws {
        let kubeconfig = try Kubeconfig.load(path: configuration.kubeconfig, hostRoot: configuration.hostRoot)
        logger.info(
            "kubeconfig",
            metadata: [
                "path": "\(kubeconfig.path)",
                "found-as-well": "\(kubeconfig.others.isEmpty ? "none" : kubeconfig.others.joined(separator: ", "))",
            ])
        credentials = try NodeCredentials(kubeconfig: kubeconfig, logger: logger)
        options = try Self.options(configuration)
        taintCredentials = try StartupTaint.credentials(configuration, asked: credentials.kubeconfig, logger: logger)
        let audit = try AuditLog(
            path: configuration.auditPath.isEmpty ? nil : configuration.auditPath, node: configuration.nodeName,
            zone: { [place] in place.zone }, callers: callers, logger: logger)
        self.audit = audit
        let clouds = try Self.clouds(configuration, place, logger: logger)
        self.clouds = clouds
        exchange = configuration.servesGoogle ? try GoogleTokenService(configuration.tokenExchange) : nil
        let kubernetes = KubernetesClient(options: options, credentials: credentials, logger: logger)
        self.kubernetes = kubernetes
        let metered = MeteredUpstreams(
            issuer: kubernetes, accounts: kubernetes, exchanger: exchange ?? NoGoogleTokenExchange(),
            clouds: clouds.map(\.exchanger))
        self.metered = metered
        var limits = TokenServiceConfiguration()
        limits.pacing?.exchangesPerHour = configuration.exchangesPerHour
        tokens = TokenService(
            configuration: limits, issuer: metered, accounts: metered, exchanger: metered, clouds: metered.clouds,
            clock: LoopTokenClock(executor: .upstreams), observer: { audit.record($0) },
            accountObserver: { audit.record($0) })
        self.spiffe = spiffe.map { settings in
            SpiffeService(
                settings, tokens: metered,
                requests: PodCertificateClient(client: kubernetes, nodeName: configuration.nodeName), audit: audit,
                logger: logger)
        }
    }

    private static func options(_ configuration: AgentConfiguration) throws -> KubernetesClientOptions {
        var options = try KubernetesClientOptions(
            audience: configuration.googleAudience,
            podTokenAudiences: configuration.relyingAudiences,
            cloudAudiences: configuration.cloudAudiences,
            tokenSeconds: configuration.tokenLifetimeSeconds,
            userAgent: "podidentd/\(AgentVersion.current)"
        )
        options.cloudAnnotations = configuration.servedClouds.flatMap { $0.annotations }
        return options
    }

    /// The clouds that are served besides Google.
    private static func clouds(
        _ configuration: AgentConfiguration, _ place: NodePlace, logger: Logger
    ) throws -> [any CloudModule] {
        guard !configuration.servedCloudNames.isEmpty else { return [] }
        let key = SessionTokenKey.load(besideSocket: configuration.adminSocket, logger: logger)
        return try CloudModules.make(configuration, CloudParts(place: place, sessionTokens: SessionTokens(key: key)))
    }

    /// Closes the clients' connections.
    func shutdownClients() async {
        await runClosing {
            await withDiscardingTaskGroup { group in
                group.addTask { await exchange?.shutdown() }
                group.addTask { await kubernetes.shutdown() }
                for cloud in clouds { group.addTask { await cloud.shutdown() } }
            }
        }
    }
}
