import Foundation

/// AWS around a world: STS and S3, and the agent's configuration for them.
package final class AWSLab: Sendable {
    package static let region = "eu-west-1"
    package static let accountID = "111122223333"
    package static let annotation = "eks.amazonaws.com/role-arn"

    package let tokens: AWSSecurityTokenServiceEmulator
    package let storage: S3Emulator
    package let tokenServer: LabHTTPServer
    /// `http://host:port` of S3, which pods reach.
    package let storageURL: String
    private let world: LabWorld
    private let tokenURL: String

    fileprivate init(
        world: LabWorld, tokens: AWSSecurityTokenServiceEmulator, storage: S3Emulator, tokenServer: LabHTTPServer,
        tokenURL: String, storageURL: String
    ) {
        self.world = world
        self.tokens = tokens
        self.storage = storage
        self.tokenServer = tokenServer
        self.tokenURL = tokenURL
        self.storageURL = storageURL
    }

    /// The agent's keys, by name.
    package var agentConfiguration: [String: String] {
        [
            "clouds": "google, aws", "aws.region": Self.region, "aws.sts-url": tokenURL,
            "aws.ca-file": world.cluster.authorityPath,
        ]
    }

    /// The ARN of the role with this name.
    package static func role(_ name: String) -> String { "arn:aws:iam::\(accountID):role/\(name)" }

    /// Creates a ServiceAccount that names a role, and the role, whose trust policy names the ServiceAccount.
    package func addServiceAccount(
        _ name: String, namespace: String = "default", role: String, isTrusted: Bool = true,
        annotations: [String: String] = [:]
    ) {
        let arn = Self.role(role)
        world.cluster.kubernetes.createServiceAccount(
            namespace: namespace, name: name, annotations: annotations.merging([Self.annotation: arn]) { $1 })
        let subject = "system:serviceaccount:\(namespace):\(name)"
        tokens.setRole(arn, .init(subjects: isTrusted ? [subject] : []))
    }

    /// The credentials that were issued to a pod, oldest first.
    package func issued(to pod: RunningPod) -> [AWSCredentialRecord] {
        tokens.log.events.filter { $0.subject.podUID == pod.uid }
    }
}

extension LabWorld {
    /// Starts STS and S3 beside this world, which stops them with itself.
    package func startAWS() async throws -> AWSLab {
        let tokens = AWSSecurityTokenServiceEmulator(clock: LabClock(following: cluster.clock))
        tokens.setProvider(cluster.issuerDiscovery())
        let storage = S3Emulator(tokens)
        cluster.kubernetes.allowAudience("sts.amazonaws.com")
        let (tokenServer, tokenURL) = try await cluster.addServer(clock: tokens.clock) { await tokens.handle($0) }
        let (_, storageURL) = try await cluster.addServer(isTLS: false, clock: tokens.clock) {
            await storage.handle($0)
        }
        return AWSLab(
            world: self, tokens: tokens, storage: storage, tokenServer: tokenServer, tokenURL: tokenURL,
            storageURL: storageURL)
    }
}
