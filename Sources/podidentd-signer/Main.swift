import ArgumentParser
import FoundationEssentials
import Glibc
import KubernetesAPI
import Logging
import NIOPosix
import Operations
import Signer
import SpiffeIdentity
import UnixSignals

/// The command line of the signer.
@main
struct SignerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "podidentd-signer",
        abstract: "Signs SPIFFE identities for pods, each proved by a token that the API server bound to that pod.",
        discussion: """
            Holds the certificate authority and the JWT key of one trust domain. Nodes and pods hold neither. Writes one \
            JSON line to standard output for each signature and each refusal.
            """
    )

    @Option(help: "The trust domain, such as prod.example.org. It cannot be changed later without changing every ID.")
    var trustDomain: String
    @Option(help: "The folder of the authority: tls.crt and tls.key; ca.crt and *.pem for further roots.")
    var authority: String
    @Option(help: "The folder of the JWT keys: signing.key, and further *.key that are published only.")
    var tokenKeys: String
    @Option(help: "The folder of the certificate of this server: tls.crt and tls.key.")
    var server: String
    @Option(help: "The address to serve HTTPS on.")
    var address = "0.0.0.0"
    @Option(help: "The port to serve HTTPS on.")
    var port = 8443
    @Option(help: "The port of /metrics, /livez and /readyz, on the same address; 0: not served.")
    var metricsPort = 8080
    @Option(help: "The audience of the tokens that prove who asks.")
    var audience = "podidentd-signer"
    @Option(help: "The URL at which relying parties find this server: the issuer of JWT-SVIDs.")
    var issuer: String?
    @Option(help: "The life of X.509-SVIDs in seconds, from 10 to 2592000.")
    var certificateSeconds = 86_400
    @Option(help: "The life of JWT-SVIDs in seconds, from 60 to 3600.")
    var tokenSeconds = 300
    @Option(help: "The agents' ServiceAccount, NAMESPACE/NAME, whose pods get certificates of the metadata server.")
    var agent: String?
    @Option(
        help: ArgumentHelp(
            "A pod label that becomes a claim of JWT-SVIDs; may be repeated.",
            discussion: "Read from the API server at each signature: needs the right to get pods."))
    var claimLabel: [String] = []
    @Flag(help: "Makes the node's zone a claim of JWT-SVIDs: needs the right to get nodes.")
    var claimZone = false
    @Flag(
        help: ArgumentHelp(
            "Makes the container that asks a claim of JWT-SVIDs: needs the right to get pods.",
            discussion: "By name and ID, where the API server has a container of the ID that the node names."))
    var claimContainer = false
    @Flag(
        help: ArgumentHelp(
            "Gives X.509-SVIDs a subject, for servers that know no URI names, such as PostgreSQL and MySQL.",
            discussion: "O=TRUST-DOMAIN, OU=NAMESPACE, CN=SERVICEACCOUNT; none where one is longer than 64 bytes."))
    var namedSubject = false
    @Option(
        help: ArgumentHelp(
            "The Lease, NAMESPACE/NAME, by which one replica signs PodCertificateRequests. Default: none are signed.",
            discussion: "Needs the rights of the signer's manifest, and --certificate-seconds of at least 3600."))
    var lease: String?
    @Option(
        help: ArgumentHelp(
            "Signatures a second that one node gets on average, from 1 to 100000; 0: as many as it asks for.",
            discussion: "Of each replica. Fifty times as many at once, and of a pod a quarter; beyond is 429."))
    var nodeRate = 20
    @Flag(
        help: ArgumentHelp(
            "Publishes the authorities as ClusterTrustBundles, where the API server has them, and as a ConfigMap.",
            discussion: "The ConfigMap podidentd-trust-bundle is in the Lease's namespace. Needs --lease."))
    var publishBundle = false
    @Option(help: "How often the files are looked at, in seconds, from 1 to 300.")
    var reloadSeconds = 10
    @Option(help: "A kubeconfig for TokenReviews. Default: the ServiceAccount of the pod that this process runs in.")
    var kubeconfig: String?

    func validate() throws {
        guard TrustDomain(trustDomain) != nil else {
            throw ValidationError("--trust-domain: lower-case letters, digits, '.', '-' and '_' only")
        }
        guard (10...2_592_000).contains(certificateSeconds) else {
            throw ValidationError("--certificate-seconds must be from 10 to 2592000")
        }
        guard (60...3600).contains(tokenSeconds) else {
            throw ValidationError("--token-seconds must be from 60 to 3600")
        }
        guard (1...300).contains(reloadSeconds) else {
            throw ValidationError("--reload-seconds must be from 1 to 300")
        }
        guard (1...65_535).contains(port), (0...65_535).contains(metricsPort) else {
            throw ValidationError("ports are from 1 to 65535")
        }
        guard claimLabel.count <= 16, claimLabel.allSatisfy({ (1...317).contains($0.utf8.count) }) else {
            throw ValidationError("--claim-label: at most 16 names of labels")
        }
        if let lease {
            let parts = lease.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }) else {
                throw ValidationError("--lease must be NAMESPACE/NAME")
            }
            guard certificateSeconds >= 3600 else {
                throw ValidationError("--lease needs --certificate-seconds of at least 3600: the API's own least")
            }
        }
        guard (0...100_000).contains(nodeRate) else {
            throw ValidationError("--node-rate must be from 0 to 100000")
        }
        if publishBundle, lease == nil { throw ValidationError("--publish-bundle needs --lease") }
        if let issuer, !issuer.hasPrefix("https://") || issuer.hasSuffix("/") {
            throw ValidationError("--issuer must begin with https:// and not end with a slash")
        }
    }

    func run() async throws {
        umask(0o077)
        LoggingSystem.bootstrap { LineLogHandler.standardError(label: $0, format: .json) }
        let logger = Logger(label: "podidentd-signer")
        guard let trustDomain = TrustDomain(trustDomain) else { return }
        var configuration = SignerConfiguration(
            trustDomain: trustDomain, authorityFolder: authority, tokenKeyFolder: tokenKeys, serverFolder: server)
        configuration.address = address
        configuration.port = port
        configuration.metricsPort = metricsPort
        configuration.audience = audience
        configuration.issuer = issuer
        configuration.certificateSeconds = certificateSeconds
        configuration.tokenSeconds = tokenSeconds
        configuration.agent = agent
        configuration.claims.labels = claimLabel
        configuration.claims.hasZone = claimZone
        configuration.claims.hasContainer = claimContainer
        configuration.namesSubject = namedSubject
        if let parts = lease?.split(separator: "/").map(String.init) {
            configuration.lease = (parts[0], parts[1])
            // The kubelet names the container's host by the pod; a process of the same name after it is another.
            configuration.replica = "\(ProcessInfo.processInfo.hostName)_\(UUID().uuidString.lowercased())"
        }
        configuration.shares = nodeRate == 0 ? nil : NodeShares.Limits(nodeRate: nodeRate)
        configuration.publishesBundle = publishBundle
        configuration.reloadInterval = .seconds(reloadSeconds)
        let kubeconfig =
            if let path = kubeconfig {
                try Kubeconfig.load(path: path)
            } else {
                try Kubeconfig.inCluster(environment: ProcessInfo.processInfo.environment)
            }
        let signer = try SignerProcess(configuration, kubeconfig: kubeconfig, logger: logger)
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        try await signer.run {
            for await _ in signals { return }
        }
    }
}
