/// The Service `google` in a namespace `internal`, whose endpoint `metadata` answers as a metadata server does: what a tenant
/// needs to stand in for the real one wherever a pod's search list is asked first.
enum TenantService {
    /// The address of the Service's endpoint.
    static let address = "10.88.255.254"

    /// Starts its server.
    static func start(on node: LabNode) async throws -> TrapServer {
        try await node.network.ip("addr replace \(address)/32 dev lo")
        let network = node.network
        let server = TrapServer(host: address, port: 80) { try network.listen(host: $0, port: $1) }
        try await server.start()
        return server
    }
}
