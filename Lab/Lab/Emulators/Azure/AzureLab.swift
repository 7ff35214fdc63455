import Foundation

/// Azure around a world: Entra ID and a Blob Storage, and the agent's configuration for them.
package final class AzureLab: Sendable {
    package static let tenant = "11111111-2222-3333-4444-555555555555"
    package static let clientAnnotation = "azure.workload.identity/client-id"
    package static let tenantAnnotation = "azure.workload.identity/tenant-id"
    package static let blob = "hello from the lab"

    package let entra: EntraEmulator
    package let entraServer: LabHTTPServer
    /// The callers whose tokens the storage accepted.
    package let callers = EventLog<EntraTokenRecord>()
    private let world: LabWorld
    private let authority: String

    fileprivate init(world: LabWorld, entra: EntraEmulator, server: LabHTTPServer, authority: String) {
        self.world = world
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

    /// Blob Storage with one container and one blob.
    fileprivate func storage(_ request: LabRequest) async -> LabResponse {
        guard let token = request.bearerToken, let caller = entra.describe(token),
            caller.resource.hasPrefix("https://storage.azure.com")
        else {
            return .text(401, "<Error><Code>InvalidAuthenticationInfo</Code></Error>", contentType: "application/xml")
        }
        callers.record(caller)
        if request.query("comp") == "list" {
            return .text(
                200,
                "<EnumerationResults><Blobs><Blob><Name>\(S3Emulator.objectName)</Name></Blob></Blobs></EnumerationResults>",
                contentType: "application/xml")
        }
        return .text(200, Self.blob, contentType: "text/plain")
    }
}

extension LabWorld {
    /// Starts Entra ID and a Blob Storage beside this world, which stops them with itself.
    ///
    /// - Returns: Azure, and the `http://host:port` of the storage, which pods reach.
    package func startAzure() async throws -> (azure: AzureLab, storageURL: String) {
        let entra = EntraEmulator(
            issuer: cluster.configuration.kubernetes.issuer, keys: cluster.kubernetes.keySet,
            signingKey: try RSASigningKey(), clock: LabClock(following: cluster.clock))
        cluster.kubernetes.allowAudience(EntraEmulator.audience)
        let (server, authority) = try await cluster.addServer(clock: entra.clock) { await entra.handle($0) }
        let azure = AzureLab(world: self, entra: entra, server: server, authority: authority)
        let (_, url) = try await cluster.addServer(isTLS: false, clock: entra.clock) { await azure.storage($0) }
        return (azure, url)
    }
}
