import Crypto
import Foundation

/// The signer as a process of its own on the lab's node, with an authority and keys of its own making.
package final class LabSigner: Sendable {
    package static let trustDomain = "lab.example"
    /// The ID of the pods of one ServiceAccount.
    package static func id(_ namespace: String, _ serviceAccount: String) -> String {
        "spiffe://\(trustDomain)/ns/\(namespace)/sa/\(serviceAccount)"
    }
    package static let audience = "podidentd-signer"
    /// The port on which pods find the endpoint.
    package static let endpointPort = 9256
    private static let namespace = "podidentd-signer"

    private let command: Command
    private let folder: String
    private let world: LabWorld
    package let port: Int
    /// NAMESPACE/NAME of the pod that it runs as.
    package let podName: String
    /// The root of the trust domain, as long as the lab replaces none.
    package let authority: LabPKI

    /// Lines of the signer's standard error.
    package var log: EventLog<String> { command.errorLines }
    package var isRunning: Bool { command.isRunning }
    package var processID: Int32 { command.processIdentifier }

    /// Starts a signer that runs as a pod of another node, and waits until it serves.
    ///
    /// - Parameters:
    ///   - world: The world whose API server it asks.
    ///   - replica: Its number: replicas have the same keys and each a port of its own.
    ///   - authority: The authority; `nil`: a new one.
    ///   - hosts: Further names of the signer in its certificate.
    ///   - options: Further words of its command line.
    /// - Returns: The signer, which serves.
    /// - Throws: What the signer says when it does not.
    package static func start(
        in world: LabWorld, replica: Int = 0, authority: LabPKI? = nil, hosts: [String] = [], options: [String] = []
    ) async throws -> LabSigner {
        let signer = try LabSigner(
            world, replica: replica, authority: try authority ?? LabPKI(name: "lab trust domain"), hosts: hosts,
            options: options)
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

    private init(
        _ world: LabWorld, replica: Int, authority: LabPKI, hosts: [String], options: [String]
    ) throws {
        self.world = world
        self.authority = authority
        folder = world.node.directory + "/signer"
        port = 8443 + replica
        for part in ["authority", "token-keys", "server"] {
            try FileManager.default.createDirectory(atPath: "\(folder)/\(part)", withIntermediateDirectories: true)
        }
        let name = "signer-\(replica)"
        podName = "\(Self.namespace)/\(name)"
        if replica == 0 {
            try Self.write(authority.authorityPEM, "\(folder)/authority/tls.crt")
            try Self.write(authority.authorityKeyPEM, "\(folder)/authority/tls.key")
            try Self.write(P256.Signing.PrivateKey().pemRepresentation + "\n", "\(folder)/token-keys/signing.key")
            let server = try world.cluster.pki.server(hosts: [LabNode.address] + hosts)
            try Self.write(server.certificatePEM, "\(folder)/server/tls.crt")
            try Self.write(server.privateKeyPEM, "\(folder)/server/tls.key")
        }
        let kubernetes = world.cluster.kubernetes
        // A second time would make another of it, and end the tokens of the first.
        if replica == 0 { kubernetes.createServiceAccount(namespace: Self.namespace, name: "signer") }
        kubernetes.createPod(
            namespace: Self.namespace, name: name, serviceAccount: "signer", node: LabWorld.nodeName)
        try kubernetes.apply(Self.rights("podidentd-signer", to: "tokenreviews", "create", in: "authentication.k8s.io"))
        if options.contains(where: { $0.hasPrefix("--claim-") }) {
            try kubernetes.apply(Self.rights("podidentd-signer-pods", to: "pods", "get", in: ""))
            try kubernetes.apply(Self.rights("podidentd-signer-nodes", to: "nodes", "get", in: ""))
        }
        if options.contains("--lease") {
            for objects in Self.signingRights { try kubernetes.apply(objects) }
        }
        if options.contains(Self.publishesBundle) {
            for objects in Self.publishingRights { try kubernetes.apply(objects) }
        }
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

    /// Stops it, and deletes its pod.
    package func remove() async {
        await stop()
        world.cluster.kubernetes.deletePod(
            namespace: Self.namespace, name: String(podName.dropFirst(Self.namespace.count + 1)), .force)
    }

    /// `kill -9`.
    @discardableResult
    package func kill() async -> CommandResult { await command.end(by: SIGKILL) }

    /// Publishes further roots, which sign nothing.
    package func publish(_ further: [LabPKI]) throws {
        try Self.write(further.map(\.authorityPEM).joined(), "\(folder)/authority/further.pem")
    }

    /// A token of the caller's choice, by the key of JWT-SVIDs or by another that claims its name: what a verifier must tell apart.
    package func token(_ claims: JSON, byOwnKey: Bool = true, algorithm: String = "ES256") throws -> String {
        let own = try P256.Signing.PrivateKey(
            pemRepresentation: try String(contentsOfFile: "\(folder)/token-keys/signing.key", encoding: .utf8))
        let name = Data(SHA256.hash(data: own.publicKey.derRepresentation)).base64URL
        let header: JSON = ["alg": .string(algorithm), "kid": .string(name), "typ": "JWT"]
        let signed = Data(header.text.utf8).base64URL + "." + Data(claims.text.utf8).base64URL
        let key = byOwnKey ? own : P256.Signing.PrivateKey()
        return signed + "." + (try key.signature(for: Data(signed.utf8))).rawRepresentation.base64URL
    }

    /// The URL at which relying parties find the keys of JWT-SVIDs.
    package var keysURL: String { "https://\(LabNode.address):\(port)/keys" }

    /// Replaces the authority's files: the signer reads them again by itself. `further` are roots to publish beside it.
    package func replaceAuthority(_ new: LabPKI, further: [LabPKI]) throws {
        try publish(further)
        try Self.write(new.authorityKeyPEM, "\(folder)/authority/tls.key")
        try Self.write(new.authorityPEM, "\(folder)/authority/tls.crt")
    }

    /// One right of the signer's: TokenReviews alone, but for further claims.
    private static func rights(_ name: String, to resource: String, _ verb: String, in group: String) -> [JSON] {
        [
            [
                "kind": "ClusterRole", "metadata": ["name": .string(name)],
                "rules": [
                    ["apiGroups": [.string(group)], "resources": [.string(resource)], "verbs": [.string(verb)]]
                ],
            ],
            [
                "kind": "ClusterRoleBinding", "metadata": ["name": .string(name)],
                "roleRef": ["kind": "ClusterRole", "name": .string(name)],
                "subjects": [
                    ["kind": "ServiceAccount", "name": "signer", "namespace": .string(namespace)]
                ],
            ],
        ]
    }

    /// The rights of a signer of PodCertificateRequests, and those of its replicas' Lease.
    private static var signingRights: [[JSON]] {
        let group = "certificates.k8s.io"
        let reading = ["get", "list", "watch"].map { verb in
            rights("podidentd-signer-requests-\(verb)", to: "podcertificaterequests", verb, in: group)
        }
        let facts = [("pods", ""), ("nodes", ""), ("serviceaccounts", "")].map { resource, group in
            rights("podidentd-signer-facts-\(resource)", to: resource, "get", in: group)
        }
        let leases = ["get", "create", "update"].map { verb in
            rights("podidentd-signer-lease-\(verb)", to: "leases", verb, in: "coordination.k8s.io")
        }
        return reading + facts + leases + [
            rights("podidentd-signer-status", to: "podcertificaterequests/status", "patch", in: group),
            rights("podidentd-signer-sign", to: "signers", "sign", in: group),
        ]
    }

    /// The rights of a signer that publishes its bundle. ClusterTrustBundles are read by everybody.
    private static var publishingRights: [[JSON]] {
        let group = "certificates.k8s.io"
        let bundles = ["create", "patch"].map { verb in
            rights("podidentd-signer-bundles-\(verb)", to: "clustertrustbundles", verb, in: group)
        }
        let maps = ["get", "create", "patch"].map { verb in
            rights("podidentd-signer-maps-\(verb)", to: "configmaps", verb, in: "")
        }
        return bundles + maps + [rights("podidentd-signer-attest", to: "signers", "attest", in: group)]
    }

    /// The word of the command line by which the holder of the Lease publishes the bundle.
    package static let publishesBundle = "--publish-bundle"
    /// The ConfigMap with the bundle.
    package static let bundleMap = (namespace: namespace, name: "podidentd-trust-bundle")

    /// The words of the command line by which the signer signs PodCertificateRequests.
    package static let signsRequests = ["--lease", "\(namespace)/podidentd-signer-leader"]

    /// The right of nodes to name this signer for any of their pods (Kubernetes 1.37, as documented).
    package static func allowRequests(of signer: String, in world: LabWorld) throws {
        try world.cluster.kubernetes.apply([
            [
                "kind": "ClusterRole", "metadata": ["name": .string("podidentd-" + signer)],
                "rules": [
                    [
                        "apiGroups": ["certificates.k8s.io"],
                        "resources": [.string(signer.replacingOccurrences(of: "/", with: ":"))],
                        "verbs": ["request-serviceaccounts-podcertificate-signer"],
                    ]
                ],
            ],
            [
                "kind": "ClusterRoleBinding", "metadata": ["name": .string("podidentd-" + signer)],
                "roleRef": ["kind": "ClusterRole", "name": .string("podidentd-" + signer)],
                "subjects": [["kind": "Group", "name": "system:nodes"]],
            ],
        ])
    }

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
