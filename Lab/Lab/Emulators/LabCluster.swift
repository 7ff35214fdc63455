package import Foundation
import NIOSSL
import Synchronization

/// Everything around the agent, started together: an API server, the token service, IAM Credentials, and on demand the
/// trap; with the files that a node would have on disk.
package final class LabCluster: Sendable {
    /// The places where things listen and lie.
    package struct Configuration: Sendable {
        /// The directory below which the kubelet's files are written. The owner removes it.
        package var directory: String
        /// The node whose credentials are written, and whose Node object exists from the start.
        package var nodeName: String
        /// A numeric address for all servers but the trap.
        package var host = "127.0.0.1"
        /// Further names and addresses in the servers' certificate.
        package var certificateHosts = ["localhost"]
        package var kubernetesPort = 0
        package var securityTokenServicePort = 0
        package var iamCredentialsPort = 0
        /// Address and port of the machine's own metadata server; `nil`: no trap.
        package var trap: (host: String, port: Int)?
        package var kubernetes = KubernetesEmulator.Options()
        package var providerName =
            "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k"
        package var listener: ListenerFactory = LocalListener.factory

        package init(directory: String, nodeName: String = "node-a") {
            self.directory = directory
            self.nodeName = nodeName
        }
    }

    /// The RSA keys of a cluster. Making one takes a while, so tests share them.
    package struct Keys: Sendable {
        package var kubernetes: RSASigningKey
        package var google: RSASigningKey

        package init() throws {
            kubernetes = try RSASigningKey()
            google = try RSASigningKey()
        }
    }

    package let configuration: Configuration
    package let pki: LabPKI
    private let parts: Parts
    /// Servers of other clouds.
    private let addedServers = Mutex<[LabHTTPServer]>([])
    /// The node's credentials and kubeconfig.
    package let kubelet: KubeletFiles

    /// `https://host:port` of the API server.
    package let kubernetesURL: String
    /// `https://host:port/v1/token`.
    package let securityTokenServiceURL: String
    /// `https://host:port`.
    package let iamCredentialsURL: String

    /// The time of all emulators, each of which has a clock of its own that follows this one.
    package var clock: LabClock { parts.clock }
    /// The record of each token's holder.
    package var ledger: LabTokenLedger { parts.ledger }
    package var kubernetes: KubernetesEmulator { parts.kubernetes }
    package var securityTokenService: SecurityTokenServiceEmulator { parts.securityTokenService }
    package var iamCredentials: IAMCredentialsEmulator { parts.iamCredentials }
    package var kubernetesServer: LabHTTPServer { parts.kubernetesServer }
    package var securityTokenServiceServer: LabHTTPServer { parts.securityTokenServiceServer }
    package var iamCredentialsServer: LabHTTPServer { parts.iamCredentialsServer }
    package var trap: TrapServer? { parts.trap }

    /// The authority of all servers' certificates, in PEM.
    package var authorityPath: String { kubelet.authorityPath }
    package var kubeconfigPath: String { kubelet.kubeconfigPath }

    /// Starts everything. On an error nothing stays behind but files.
    package static func start(_ configuration: Configuration, keys: Keys) async throws -> LabCluster {
        let pki = try LabPKI()
        let hosts = [configuration.host] + configuration.certificateHosts
        let tls = try NIOSSLContext.lab(try pki.server(hosts: hosts))
        let parts = Parts(configuration: configuration, keys: keys, authority: pki, tls: tls)
        do {
            let urls = try await parts.start()
            return try LabCluster(configuration, pki: pki, parts: parts, urls: urls)
        } catch {
            await parts.stop()
            throw error
        }
    }

    /// Ends watches, requests and servers. No descriptor and no task is left when this returns.
    package func stop() async {
        kubernetes.endWatches()
        for server in addedServers.withLock({ $0 }) { await server.stop() }
        await parts.stop()
    }

    /// Starts one more server where the others are, which ends with them. Its certificate has `names` besides.
    package func addServer(
        isTLS: Bool = true, names: [String] = [], port: Int = 0, clock: LabClock,
        _ handler: @escaping LabHTTPServer.Handler
    ) async throws -> (server: LabHTTPServer, url: String) {
        let hosts = [configuration.host] + configuration.certificateHosts + names
        let server = LabHTTPServer(
            LabHTTPServer.Configuration(
                host: configuration.host, port: port,
                tls: isTLS ? try NIOSSLContext.lab(try pki.server(hosts: hosts)) : nil,
                clock: clock, listener: configuration.listener),
            handler: handler)
        let url = try await server.start()
        addedServers.withLock { $0.append(server) }
        return (server, url)
    }

    /// Lets `server` present a certificate that ends at `notAfter`, and ends the connections that know the old one.
    package func replaceCertificate(of server: LabHTTPServer, notAfter: Date) async throws {
        let hosts = [configuration.host] + configuration.certificateHosts
        let credential = try pki.server(
            hosts: hosts, notBefore: notAfter.addingTimeInterval(-86_400), notAfter: notAfter)
        server.replaceTLS(with: try NIOSSLContext.lab(credential))
        await server.takeDown()
        try await server.bringUp()
    }

    /// Gives the node a new certificate that ends at `notAfter`, the way the kubelet rotates.
    package func rotateNodeCertificate(notAfter: Date) throws {
        try kubelet.rotate(to: try pki.node(configuration.nodeName, notAfter: notAfter))
    }

    private init(_ configuration: Configuration, pki: LabPKI, parts: Parts, urls: Parts.URLs) throws {
        self.configuration = configuration
        self.pki = pki
        self.parts = parts
        kubernetesURL = urls.kubernetes
        securityTokenServiceURL = "\(urls.securityTokenService)/v1/token"
        iamCredentialsURL = urls.iamCredentials
        kubelet = try KubeletFiles(
            directory: configuration.directory,
            server: kubernetesURL,
            authorityPEM: pki.authorityPEM,
            credential: try pki.node(configuration.nodeName)
        )
        kubernetes.setExternalURL(kubernetesURL)
        kubernetes.addNode(configuration.nodeName)
    }
}

/// The emulators and their servers, before they have addresses.
private struct Parts: Sendable {
    let clock = LabClock()
    let ledger = LabTokenLedger()
    let kubernetes: KubernetesEmulator
    let securityTokenService: SecurityTokenServiceEmulator
    let iamCredentials: IAMCredentialsEmulator
    let kubernetesServer: LabHTTPServer
    let securityTokenServiceServer: LabHTTPServer
    let iamCredentialsServer: LabHTTPServer
    let trap: TrapServer?

    var servers: [LabHTTPServer] { [kubernetesServer, securityTokenServiceServer, iamCredentialsServer] }

    init(configuration: LabCluster.Configuration, keys: LabCluster.Keys, authority: LabPKI, tls: NIOSSLContext) {
        let kubernetes = KubernetesEmulator(
            authority: authority.authority,
            signingKey: keys.kubernetes,
            options: configuration.kubernetes,
            clock: LabClock(following: clock)
        )
        let securityTokenService = SecurityTokenServiceEmulator(ledger: ledger, clock: LabClock(following: clock))
        let iamCredentials = IAMCredentialsEmulator(
            ledger: ledger, signingKey: keys.google, clock: LabClock(following: clock)
        )
        securityTokenService.setProvider(
            WorkloadIdentityProvider(
                name: configuration.providerName,
                issuer: configuration.kubernetes.issuer,
                keys: kubernetes.keySet
            )
        )
        func server(
            _ port: Int, _ clock: LabClock, _ handler: @escaping LabHTTPServer.Handler
        ) -> LabHTTPServer {
            LabHTTPServer(
                LabHTTPServer.Configuration(
                    host: configuration.host,
                    port: port,
                    tls: tls,
                    clock: clock,
                    listener: configuration.listener
                ),
                handler: handler
            )
        }
        self.kubernetes = kubernetes
        self.securityTokenService = securityTokenService
        self.iamCredentials = iamCredentials
        kubernetesServer = server(configuration.kubernetesPort, kubernetes.clock) { await kubernetes.handle($0) }
        securityTokenServiceServer = server(configuration.securityTokenServicePort, securityTokenService.clock) {
            await securityTokenService.handle($0)
        }
        iamCredentialsServer = server(configuration.iamCredentialsPort, iamCredentials.clock) {
            await iamCredentials.handle($0)
        }
        trap = configuration.trap.map { TrapServer(host: $0.host, port: $0.port, listener: configuration.listener) }
    }

    /// The addresses at which the servers were found to listen.
    struct URLs {
        var kubernetes: String
        var securityTokenService: String
        var iamCredentials: String
    }

    func start() async throws -> URLs {
        try await trap?.start()
        return URLs(
            kubernetes: try await kubernetesServer.start(),
            securityTokenService: try await securityTokenServiceServer.start(),
            iamCredentials: try await iamCredentialsServer.start()
        )
    }

    func stop() async {
        for server in servers { await server.stop() }
        await trap?.stop()
    }
}
