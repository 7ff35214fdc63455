import Foundation

/// R8: ports that are not HTTP's, and datagrams.
extension AttackSuite {
    var ports: [Attack] {
        [443, 8080].map { port in
            Attack("R8", .unprivileged, "TCP port \(port)", .nothing) {
                let server = try world.node.network.listen(host: LabNode.metadataAddress, port: port)
                defer { close(server) }
                return try await stage.got(["connect", "plain", LabNode.metadataAddress, "\(port)"], .unprivileged)
            }
        } + [("connected", 80, false), ("unconnected", 80, false)].map(datagram)
            + [("connected", 53, true), ("unconnected", 53, true), ("unconnected", 123, true)].map(datagram)
    }

    private func datagram(_ how: String, _ port: Int, _ isOpen: Bool) -> Attack {
        Attack(
            "R8", .unprivileged, "UDP port \(port), \(how)\(isOpen ? ": must work" : "")", isOpen ? .service : .nothing
        ) {
            let server = try UDPEcho(host: LabNode.metadataAddress, port: port, in: world.node.network)
            defer { server.stop() }
            return try await stage.got(["udp", how, LabNode.metadataAddress, "\(port)"], .unprivileged)
        }
    }
}
