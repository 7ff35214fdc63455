import Crypto
import Foundation

/// The signer as a process of its own on the lab's node, with an authority and keys of its own making.
package final class LabSigner: Sendable {
    package static let trustDomain = "lab.example"
    package static let audience = "podidentd-signer"
    /// Where pods find the endpoint.
    package static let endpointPort = 9256
    private static let namespace = "podidentd-signer"

    private let command: Command
    private let folder: String
    private let world: LabWorld
    package let port: Int
    /// The root of the trust domain, as long as the lab replaces none.
    package let authority: LabPKI

    /// Lines of the signer's standard error.
    package var log: EventLog<String> { command.errorLines }
    package var isRunning: Bool { command.isRunning }

    /// Starts a signer that runs as a pod of another node, and waits until it serves.
    ///
    /// - Parameters:
    ///   - world: The world whose API server it asks.
    ///   - replica: Its number: replicas have the same keys and each a port of its own.
    ///   - authority: The authority; `nil`: a new one.
    ///   - options: Further words of its command line.
    /// - Returns: The signer, which serves.
    /// - Throws: What the signer says when it does not.
    package static func start(
        in world: LabWorld, replica: Int = 0, authority: LabPKI? = nil, options: [String] = []
    ) async throws -> LabSigner {
        let signer = try LabSigner(
            world, replica: replica, authority: try authority ?? LabPKI(name: "lab trust domain"), options: options)
        do {
            try await signer.log.first(within: .seconds(60)) {
                $0.contains("\"signer ready\"") || $0.hasPrefix("Error:")
            }
        } catch {
            throw LabError("the signer was not ready: \(signer.log.events.joined(separator: "\n"))")
        }
        guard !signer.log.events.contains(where: { $0.hasPrefix("Error:") }) else {
            throw LabError("the signer ended: \(signer.log.events.joined(separator: "\n"))")
        }
        return signer
    }

    private init(_ world: LabWorld, replica: Int, authority: LabPKI, options: [String]) throws {
        self.world = world
        self.authority = authority
        folder = world.node.directory + "/signer"
        port = 8443 + replica
        for part in ["authority", "token-keys", "server"] {
            try FileManager.default.createDirectory(atPath: "\(folder)/\(part)", withIntermediateDirectories: true)
        }
        let name = "signer-\(replica)"
        if replica == 0 {
            try Self.write(authority.authorityPEM, "\(folder)/authority/tls.crt")
            try Self.write(authority.authorityKeyPEM, "\(folder)/authority/tls.key")
            try Self.write(P256.Signing.PrivateKey().pemRepresentation + "\n", "\(folder)/token-keys/signing.key")
            let server = try world.cluster.pki.server(hosts: [LabNode.address])
            try Self.write(server.certificatePEM, "\(folder)/server/tls.crt")
            try Self.write(server.privateKeyPEM, "\(folder)/server/tls.key")
        }
        let kubernetes = world.cluster.kubernetes
        kubernetes.createServiceAccount(namespace: Self.namespace, name: "signer")
        kubernetes.createPod(
            namespace: Self.namespace, name: name, serviceAccount: "signer", node: LabWorld.nodeName)
        try kubernetes.apply(Self.rights)
        kubernetes.allowAudience(Self.audience)
        let kubeconfig = "\(folder)/\(name).kubeconfig"
        let token = try kubernetes.projectedToken(namespace: Self.namespace, pod: name)
        try Self.write(Self.kubeconfig(world, token: token), kubeconfig)
        command = try Command(
            world.node.processCommand + [
                world.binaries + "/podidentd-signer", "--trust-domain", Self.trustDomain,
                "--authority", "\(folder)/authority", "--token-keys", "\(folder)/token-keys",
                "--server", "\(folder)/server", "--address", LabNode.address, "--port", "\(port)",
                "--metrics-port", "0", "--kubeconfig", kubeconfig,
            ] + options)
    }

    private static func write(_ text: String, _ path: String) throws {
        try text.write(toFile: path, atomically: true, encoding: .utf8)
    }

    /// Configuration keys with which an agent uses this signer.
    package var agentConfiguration: [String: String?] {
        [
            "spiffe.port": "\(Self.endpointPort)", "spiffe.trust-domain": Self.trustDomain,
            "spiffe.signer": "https://\(LabNode.address):\(port)", "spiffe.ca-file": world.cluster.authorityPath,
        ]
    }

    /// The variable that pods find the endpoint by.
    package static let endpoint = "tcp://169.254.169.254:\(endpointPort)"

    /// Stops it as the kubelet does.
    @discardableResult
    package func stop() async -> CommandResult { await command.end(by: SIGTERM) }

    /// `kill -9`.
    @discardableResult
    package func kill() async -> CommandResult { await command.end(by: SIGKILL) }

    /// Publishes further roots, which sign nothing.
    package func publish(_ further: [LabPKI]) throws {
        try Self.write(further.map(\.authorityPEM).joined(), "\(folder)/authority/further.pem")
    }

    /// Replaces the authority's files: the signer reads them again by itself. `further` are roots to publish beside it.
    package func replaceAuthority(_ new: LabPKI, further: [LabPKI]) throws {
        try publish(further)
        try Self.write(new.authorityKeyPEM, "\(folder)/authority/tls.key")
        try Self.write(new.authorityPEM, "\(folder)/authority/tls.crt")
    }

    /// The rights of deploy/components/spiffe: TokenReviews and nothing else.
    private static let rights: [JSON] = [
        [
            "kind": "ClusterRole", "metadata": ["name": "podidentd-signer"],
            "rules": [
                [
                    "apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"],
                ]
            ],
        ],
        [
            "kind": "ClusterRoleBinding", "metadata": ["name": "podidentd-signer"],
            "roleRef": ["kind": "ClusterRole", "name": "podidentd-signer"],
            "subjects": [
                ["kind": "ServiceAccount", "name": "signer", "namespace": .string(namespace)]
            ],
        ],
    ]

    private static func kubeconfig(_ world: LabWorld, token: String) -> String {
        """
        apiVersion: v1
        kind: Config
        current-context: signer
        clusters:
        - name: lab
          cluster: {server: "\(world.cluster.kubernetesURL)", certificate-authority: "\(world.cluster.authorityPath)"}
        users:
        - name: signer
          user: {token: "\(token)"}
        contexts:
        - name: signer
          context: {cluster: lab, user: signer}

        """
    }
}
