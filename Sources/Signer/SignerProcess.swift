import FoundationEssentials
package import KubernetesAPI
package import Logging
import NIOPosix
import Operations
import SpiffeIdentity

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The signer, put together.
package struct SignerProcess: Sendable {
    private let client: KubernetesClient
    private let keys: KeyHolder
    private let server: SignerServer
    private let metrics: MetricsServer?
    private let lease: LeaseHolder?
    private let controller: PodCertificateController
    /// `nil`: the bundle is served by HTTPS alone.
    private let publisher: BundlePublisher?
    private let logger: Logger

    package init(_ configuration: SignerConfiguration, kubeconfig: Kubeconfig, logger: Logger) throws {
        self.logger = logger
        keys = try KeyHolder(configuration, logger: logger)
        let credentials = try NodeCredentials(kubeconfig: kubeconfig, logger: logger)
        let options = try KubernetesClientOptions(audience: configuration.audience, userAgent: "podidentd-signer")
        client = KubernetesClient(options: options, credentials: credentials, logger: logger)
        let log = SignatureLog { line in
            let bytes = Array(line.utf8)
            _ = unsafe bytes.withUnsafeBytes { unsafe write(STDOUT_FILENO, $0.baseAddress, $0.count) }
        }
        let exchange = Exchange(configuration, reviewer: TokenReviewer(client: client))
        server = SignerServer(
            exchange: exchange, keys: keys, log: log, group: MultiThreadedEventLoopGroup.singleton, logger: logger)
        lease = configuration.lease.map { [client] lease in
            LeaseHolder(
                client: client, namespace: lease.namespace, name: lease.name, identity: configuration.replica,
                logger: logger)
        }
        controller = PodCertificateController(
            client: client, judge: PodCertificateJudge(configuration, facts: client), keys: keys,
            shares: exchange.shares, log: log, logger: logger)
        let publications = CounterTable<BundlePublisher.Result>()
        publisher = configuration.lease.flatMap { [client, keys] lease in
            guard configuration.publishesBundle else { return nil }
            return BundlePublisher(
                client: client, keys: keys, namespace: lease.namespace, interval: configuration.reloadInterval,
                counters: publications, logger: logger)
        }
        metrics =
            configuration.metricsPort == 0
            ? nil
            : MetricsServer(
                address: configuration.address, port: configuration.metricsPort,
                collect: { [keys, server] in SignerMetrics.families(keys, server, log, publications) },
                readiness: { [keys] in keys.readiness }, eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
                logger: logger)
    }

    /// Serves until `ending` returns.
    package func run(until ending: @escaping @Sendable () async -> Void) async throws {
        let port = try await server.start()
        try await metrics?.start()
        let bundle = keys.current.bundle
        logger.info(
            "signer ready",
            metadata: [
                "port": "\(port)", "trust-domain": "\(bundle.trustDomain)",
                "authorities": "\(bundle.authorities.count)", "token-keys": "\(bundle.keys.count)",
                "authority-ends": "\(keys.current.authority.notAfter.formatted(.iso8601))",
            ])
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [keys] in await keys.run() }
            if let lease { group.addTask { await lease.run { await lead() } } }
            group.addTask { await ending() }
            // The others run until the task is cancelled: whichever ends first is the end.
            await group.next()
            group.cancelAll()
        }
        await server.stop()
        await metrics?.stop()
        await client.shutdown()
    }
}

extension SignerProcess {
    /// Does what only the holder of the Lease may do, until the task is cancelled.
    private func lead() async {
        await withDiscardingTaskGroup { group in
            group.addTask { await controller.run() }
            if let publisher { group.addTask { await publisher.run() } }
        }
    }
}

/// The signer's metrics.
enum SignerMetrics {
    static let exchanges = MetricDefinition(
        "podidentd_signer_exchanges", .counter, labels: ["result"], "Exchanges, by how they ended.")
    static let requests = MetricDefinition(
        "podidentd_signer_pod_certificate_requests", .counter, labels: ["result"],
        "PodCertificateRequests by their end: signed, refused, failed (left open, gone, or decided by another signer), or "
            + "limited (over the share of their pod or node)."
    )
    static let publications = MetricDefinition(
        "podidentd_signer_bundle_publications", .counter, labels: ["result"],
        "Objects with the trust bundle that were written to the API server, or could not be.")
    static let connections = MetricDefinition(
        "podidentd_signer_connections", .gauge, "Connections that are open.")
    static let authorityEnd = MetricDefinition(
        "podidentd_signer_authority_not_after_seconds", .gauge, unit: .seconds,
        "When the certificate of the authority ends, in seconds since 1970.")

    static func families(
        _ keys: KeyHolder, _ server: SignerServer, _ log: SignatureLog,
        _ publications: CounterTable<BundlePublisher.Result>
    ) -> [MetricFamily] {
        [
            MetricFamily(exchanges, log.samples),
            MetricFamily(requests, log.requestSamples),
            MetricFamily(Self.publications, publications.samples),
            MetricFamily(connections, .count(server.connectionCount)),
            MetricFamily(authorityEnd, .real(keys.current.authority.notAfter.timeIntervalSince1970)),
        ]
    }
}
