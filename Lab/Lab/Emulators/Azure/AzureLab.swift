import Foundation

/// Azure around a world: Entra ID and a Blob Storage, and the agent's configuration for them.
package final class AzureLab: Sendable {
    package static let tenant = "11111111-2222-3333-4444-555555555555"
    package static let clientAnnotation = "azure.workload.identity/client-id"
    package static let tenantAnnotation = "azure.workload.identity/tenant-id"
    package static let subscription = "99999999-2222-3333-4444-555555555555"
    /// The name of Azure Resource Manager, which command-line tools have built in.
    package static let managementHost = "management.azure.com"

    package let entra: EntraEmulator
    package let entraServer: LabHTTPServer
    package let storage: BlobStorageEmulator
    /// The port of the storage, at the node's address and at ``BlobStorageEmulator/host``.
    package let storagePort: Int
    private let world: LabWorld
    private let authority: String

    fileprivate init(
        world: LabWorld, entra: EntraEmulator, server: LabHTTPServer, authority: String, storage: BlobStorageEmulator,
        storagePort: Int
    ) {
        self.world = world
        self.storage = storage
        self.storagePort = storagePort
        self.entra = entra
        self.entraServer = server
        self.authority = authority
    }

    /// The agent's keys, by name, without `clouds`.
    package var agentConfiguration: [String: String] {
        ["azure.authority": authority, "azure.ca-file": world.cluster.authorityPath]
    }

    /// Creates a ServiceAccount that names a client ID, and the federated credential that trusts it.
    package func addServiceAccount(
        _ name: String, namespace: String = "default", clientID: String, isTrusted: Bool = true,
        annotations: [String: String] = [:]
    ) {
        world.cluster.kubernetes.createServiceAccount(
            namespace: namespace, name: name,
            annotations: annotations.merging([
                Self.clientAnnotation: clientID, Self.tenantAnnotation: Self.tenant,
            ]) { $1 })
        entra.add(
            .init(
                clientID: clientID, tenant: Self.tenant,
                subject: isTrusted ? "system:serviceaccount:\(namespace):\(name)" : "somebody else"))
    }

    package func issued(to pod: RunningPod) -> [EntraTokenRecord] {
        entra.log.events.filter { $0.subject.podUID == pod.uid }
    }

    /// Azure Resource Manager, as far as a login asks it: the subscriptions of a caller with a living token for it.
    fileprivate func management(_ request: LabRequest) async -> LabResponse {
        guard let token = request.bearerToken, let caller = entra.describe(token),
            caller.resource.hasPrefix("https://management.")
        else { return .json(401, ["error": ["code": "AuthenticationFailed", "message": "No living token."]]) }
        guard request.path == "/subscriptions" else {
            return .json(404, ["error": ["code": "NotFound", "message": ""]])
        }
        return .json(
            200,
            [
                "value": [
                    [
                        "id": .string("/subscriptions/\(Self.subscription)"),
                        "subscriptionId": .string(Self.subscription), "tenantId": .string(Self.tenant),
                        "displayName": "lab", "state": "Enabled",
                    ]
                ]
            ])
    }
}

extension LabWorld {
    /// Starts Entra ID, a Blob Storage and Azure Resource Manager beside this world, which stops them with itself.
    package func startAzure() async throws -> AzureLab {
        let entra = EntraEmulator(
            issuer: cluster.issuerDiscovery(), signingKey: try RSASigningKey(),
            clock: LabClock(following: cluster.clock))
        cluster.kubernetes.allowAudience(EntraEmulator.audience)
        let (server, authority) = try await cluster.addServer(clock: entra.clock) { await entra.handle($0) }
        let storage = BlobStorageEmulator(entra)
        let (_, url) = try await cluster.addServer(names: [BlobStorageEmulator.host], clock: entra.clock) {
            await storage.handle($0)
        }
        guard let port = url.split(separator: ":").last.flatMap({ Int($0) }) else {
            throw LabError("no port in \(url)")
        }
        let azure = AzureLab(
            world: self, entra: entra, server: server, authority: authority, storage: storage, storagePort: port)
        _ = try await cluster.addServer(names: [AzureLab.managementHost], port: 443, clock: entra.clock) {
            await azure.management($0)
        }
        return azure
    }
}
